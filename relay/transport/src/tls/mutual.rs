//! TLS between equals: both ends show a certificate, and each verifies the other's by the same authorities
//! and revocation lists, whichever of them called.
//!
//! Names in a certificate do not count here: who is at the other end is its SPIFFE id (SPIFFE X.509-SVID,
//! section 5), which whoever uses the connection looks at.

use std::sync::Arc;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme, version};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::server::Follow;
use super::{ServerTls, broken_provider, provider, refusal};
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
        let equal = Arc::new(Follow { tls: Arc::clone(&self.0), always: true });
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

impl ResolvesClientCert for Follow {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.tls.current().identity))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Follow {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.clients()?.verify_client_cert(leaf, rest, now);
        verified.inspect_err(|error| refusal::tell("server", leaf, error))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ClientCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ClientCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ClientCertVerifier::supported_verify_schemes(self)
    }
}
