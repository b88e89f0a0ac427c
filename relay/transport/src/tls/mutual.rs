//! TLS between equals: both ends show a certificate, and each verifies the other's by the same authorities
//! and revocation lists, whichever of them called.
//!
//! Names in a certificate do not count here: who is at the other end is its SPIFFE id (SPIFFE X.509-SVID,
//! section 5), which whoever uses the connection looks at.

use std::fmt;
use std::sync::Arc;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, version,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::reloading::Reloading;
use super::{ServerTls, ServerTlsConfig, broken_provider, provider, refusal};
use crate::conn_info::PeerIdentity;

impl ServerTls {
    /// What both ends of a connection between equals use: the one that is called and the one that calls.
    /// Nothing is resumed, so each connection is verified anew.
    ///
    /// # Errors
    /// No authority is named whose peers would be believed.
    pub(crate) fn mutual(&self, alpn: &[u8]) -> Result<(ServerConfig, ClientConfig)> {
        if self.0.current().clients.is_none() {
            let problem = "peers cannot be verified: no authority is named";
            return Err(OperatorError::new(ErrorKind::Config, problem)
                .hint("name the authorities to believe in `client_ca`"));
        }
        let equal = Arc::new(Equal(Arc::clone(&self.0)));
        let mut called = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| broken_provider(&error))?
            .with_client_cert_verifier(Arc::clone(&equal) as _)
            .with_cert_resolver(Arc::clone(&equal) as _);
        called.alpn_protocols = vec![alpn.to_vec()];
        called.session_storage = Arc::new(NoServerSessionStorage {});
        called.send_tls13_tickets = 0;
        let mut calling = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| broken_provider(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&equal) as _)
            .with_client_cert_resolver(equal);
        calling.alpn_protocols = vec![alpn.to_vec()];
        calling.resumption = Resumption::disabled();
        calling.enable_sni = false;
        Ok((called, calling))
    }

    /// Who its own certificate says that it is, at present.
    #[must_use]
    pub fn identity(&self) -> Option<PeerIdentity> {
        PeerIdentity::of(self.0.current().identity.cert.first()?)
    }
}

/// What rustls asks at either end, answered by the files as they are at present.
struct Equal(Arc<Reloading<ServerTlsConfig>>);

impl Equal {
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        self.0.current().clients.clone().ok_or_else(|| Error::General("no peer is believed".to_owned()))
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls13_signature(message, certificate, signed)
    }

    fn verify(
        &self,
        peer: &'static str,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier()?.verify_client_cert(leaf, rest, now);
        verified.inspect_err(|error| refusal::tell(peer, leaf, error))
    }
}

impl fmt::Debug for Equal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Equal").field(&self.0.source().certificate).finish()
    }
}

impl ResolvesServerCert for Equal {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().identity))
    }
}

impl ResolvesClientCert for Equal {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().identity))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// TLS 1.2 is not spoken.
fn never(_certificate: &CertificateDer<'_>) -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken".to_owned()))
}

impl ClientCertVerifier for Equal {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify("client", leaf, rest, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never(certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Equal {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify("server", leaf, rest, now).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never(certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
