//! A client's certificate and the authorities that it believes, as they are at present.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::Protocol;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::reloading::{Reloading, Source};
use super::{ClientTlsConfig, alpn, broken_provider, files, provider, refusal};

/// Servers whose sessions can be resumed; as many as rustls keeps by default.
const SESSIONS: usize = 256;

/// What each configuration in use makes: channels with the same files share one, and one watch.
static IN_USE: LazyLock<Mutex<HashMap<ClientTlsConfig, Weak<Reloading<ClientTlsConfig>>>>> =
    LazyLock::new(Mutex::default);

/// Reads a client's files and makes a configuration that offers `protocols` and follows the files:
/// from then on a changed certificate, authority or revocation list counts for every new
/// connection, and for open ones that a [`Trust`](super::Trust) follows. Outside an async runtime it is made of the files as they are and stays so.
///
/// # Errors
/// A file that is missing, unreadable, empty or not PEM; a key that does not fit its certificate.
pub fn client_config(config: &ClientTlsConfig, protocols: &[Protocol]) -> Result<ClientConfig> {
    let follow = Follow(in_use(config)?);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| broken_provider(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(follow.clone()));
    let mut tls = match &config.certificate {
        None => builder.with_no_client_auth(),
        Some(_) => builder.with_client_cert_resolver(Arc::new(follow.clone())),
    };
    tls.resumption = Resumption::store(Arc::new(follow));
    tls.alpn_protocols = alpn(protocols);
    Ok(tls)
}

pub(super) fn in_use(config: &ClientTlsConfig) -> Result<Arc<Reloading<ClientTlsConfig>>> {
    let mut all = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shared) = all.get(config).and_then(Weak::upgrade) {
        shared.reload_if_changed();
        return Ok(shared);
    }
    let made = Reloading::load(config.clone())?;
    made.watch();
    all.retain(|_, one| one.strong_count() > 0);
    all.insert(config.clone(), Arc::downgrade(&made));
    Ok(made)
}

pub(super) struct ClientState {
    identity: Option<Arc<CertifiedKey>>,
    pub(super) servers: Arc<WebPkiServerVerifier>,
    /// A resumed session is not verified again, so none outlives the authorities it was made under.
    sessions: Arc<ClientSessionMemoryCache>,
}

impl Source for ClientTlsConfig {
    type State = ClientState;

    fn files(&self) -> Vec<&Path> {
        let own = [&self.certificate, &self.private_key, &self.ca];
        own.into_iter().flatten().chain(&self.crl).map(AsRef::as_ref).collect()
    }

    fn load(&self) -> Result<ClientState> {
        let identity = match (&self.certificate, &self.private_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(files::certified_key(certificate, key)?),
            _ => {
                return Err(OperatorError::new(
                    ErrorKind::Config,
                    "a client certificate needs both `certificate` and `private_key`",
                )
                .hint("set both, or neither"));
            }
        };
        let roots = match &self.ca {
            Some(path) => files::roots(path).map_err(|error| error.under("ca"))?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(files::revocation_lists(&self.crl)?)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| {
                OperatorError::new(ErrorKind::Config, "servers cannot be verified")
                    .caused_by(&error)
                    .hint("check the authorities in `ca` and the lists in `crl`")
            })?;
        Ok(ClientState { identity, servers, sessions: Arc::new(ClientSessionMemoryCache::new(SESSIONS)) })
    }

    fn leaf<'a>(&'a self, state: &'a ClientState) -> Option<(&'a Path, &'a CertificateDer<'static>)> {
        Some((self.certificate.as_deref()?, state.identity.as_ref()?.cert.first()?))
    }

    fn interval(&self) -> Duration {
        self.reload_interval_ms.duration()
    }
}

/// What rustls asks, answered by the files as they are at present.
#[derive(Clone)]
struct Follow(Arc<Reloading<ClientTlsConfig>>);

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follow").field(&self.0.source()).finish()
    }
}

impl ResolvesClientCert for Follow {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.current().identity.clone()
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
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.current().servers.verify_server_cert(leaf, rest, name, ocsp, now);
        verified.inspect_err(|error| refusal::tell("server", leaf, error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.current().servers.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.current().servers.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientSessionStore for Follow {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.current().sessions.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.current().sessions.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.current().sessions.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.current().sessions.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.current().sessions.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.current().sessions.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.current().sessions.take_tls13_ticket(server)
    }
}
