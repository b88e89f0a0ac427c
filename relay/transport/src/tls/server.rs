//! A server's certificate and the authorities that it believes, as they are at present.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::Protocol;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::reloading::{Reloading, Source};
use super::{ServerTlsConfig, alpn, broken_provider, files, provider, refusal};

/// Sessions that can be resumed; as many as rustls keeps by default.
const SESSIONS: usize = 256;

/// What curl asks for that is told to speak HTTP/1.0 (registered with HTTP/1.1's, RFC 7301, section 6).
const HTTP_1_0: &[u8] = b"http/1.0";

/// How long calls in flight of a peer that is believed no more may go on.
const REFUSED: Duration = Duration::from_secs(1);

/// Who a server is and whom it believes; follows its files. Cloning is cheap.
#[derive(Clone)]
pub struct ServerTls(pub(super) Arc<Reloading<ServerTlsConfig>>);

pub(super) struct ServerState {
    pub(super) identity: Arc<CertifiedKey>,
    pub(super) clients: Option<Arc<dyn ClientCertVerifier>>,
    /// A resumed session is not verified again, so none outlives the authorities it was made under.
    sessions: Arc<ServerSessionMemoryCache>,
}

impl ServerTls {
    /// Reads a server's files.
    ///
    /// # Errors
    /// A file that is missing, unreadable, empty or not PEM; a key that does not fit its
    /// certificate.
    pub fn load(config: &ServerTlsConfig) -> Result<Self> {
        Ok(Self(Reloading::load(config.clone())?))
    }

    /// A configuration that offers `protocols` and follows the files.
    ///
    /// # Errors
    /// None that a caller can provoke.
    pub fn rustls(&self, protocols: &[Protocol]) -> Result<ServerConfig> {
        let follow = Follow { tls: Arc::clone(&self.0), always: false };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| broken_provider(&error))?;
        let builder = builder.with_client_cert_verifier(Arc::new(follow.clone()));
        let mut tls = builder.with_cert_resolver(Arc::new(follow.clone()));
        tls.session_storage = Arc::new(follow);
        tls.alpn_protocols = alpn(protocols);
        if protocols.contains(&Protocol::Http1) {
            // It is served as HTTP/1.1 is, so who asks for it alone is not turned away.
            tls.alpn_protocols.push(HTTP_1_0.to_vec());
        }
        tls.max_early_data_size = 0;
        Ok(tls)
    }

    /// Reads all files anew, at once.
    ///
    /// # Errors
    /// As [`load`](Self::load), and a certificate that has expired; what was there stands.
    pub fn reload(&self) -> Result<()> {
        self.0.reload()
    }

    /// Prepares to follow `config` from now on, or the same files as they look now. What is given changes it:
    /// new handshakes see the new files, and open connections whose peers they no longer believe end. None
    /// where nothing is different.
    ///
    /// # Errors
    /// As [`reload`](Self::reload); nothing has changed.
    pub(crate) fn stage(&self, config: &ServerTlsConfig) -> Result<Option<impl FnOnce() + Send + 'static>> {
        self.0.stage(config.clone())
    }

    /// Looks at the files at their interval, for as long as the configuration is in use.
    pub fn watch(&self) {
        self.0.watch();
    }

    /// Begins to check the peer of a connection whose handshake is about to begin: whatever changes
    /// from here on counts for it.
    pub(crate) fn check(&self) -> PeerCheck {
        PeerCheck { generation: self.0.generation(), tls: Arc::clone(&self.0), chain: Vec::new() }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.source()).finish()
    }
}

/// Tells when a peer that was believed is so no more.
pub(crate) struct PeerCheck {
    tls: Arc<Reloading<ServerTlsConfig>>,
    generation: watch::Receiver<u64>,
    chain: Vec<CertificateDer<'static>>,
}

impl PeerCheck {
    /// Returns, with the reason counted and logged, once the peer's certificate is refused by the
    /// files as they are then; never for a peer that showed none. Gives how long its calls in flight may go on: a
    /// certificate that merely expired takes nothing back, so they have as long as in a drain (`drain_max`).
    pub(crate) async fn refused(mut self, drain_max: Duration) -> Duration {
        if self.chain.is_empty() {
            drop(self);
            return std::future::pending().await;
        }
        // A sender that is gone cannot be: we hold it.
        while self.generation.changed().await.is_ok() {
            if let Err(error) = self.verify() {
                return if refusal::is_expiry(&error) { drain_max } else { drain_max.min(REFUSED) };
            }
        }
        std::future::pending().await
    }

    /// The chain that the peer showed in its handshake. Of a session that was resumed nobody has
    /// verified it yet.
    ///
    /// # Errors
    /// It is believed no more.
    pub(crate) fn shown(&mut self, chain: Vec<CertificateDer<'static>>, resumed: bool) -> Result<(), Error> {
        self.chain = chain;
        if resumed { self.verify() } else { Ok(()) }
    }

    fn verify(&self) -> Result<(), Error> {
        let state = self.tls.current();
        let (Some((leaf, rest)), Some(clients)) = (self.chain.split_first(), &state.clients) else {
            return Ok(());
        };
        let verified = clients.verify_client_cert(leaf, rest, UnixTime::now());
        verified.map(|_| ()).inspect_err(|error| refusal::tell("client", leaf, error))
    }
}

impl Source for ServerTlsConfig {
    type State = ServerState;

    fn files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = vec![&self.certificate, &self.private_key];
        files.extend(self.client_ca.as_deref());
        files.extend(self.crl.iter().map(PathBuf::as_path));
        files
    }

    fn load(&self) -> Result<ServerState> {
        let identity = files::certified_key(&self.certificate, &self.private_key)?;
        let sessions = ServerSessionMemoryCache::new(SESSIONS);
        Ok(ServerState { identity, clients: clients(self)?, sessions })
    }

    fn leaf<'a>(&'a self, state: &'a ServerState) -> Option<(&'a Path, &'a CertificateDer<'static>)> {
        Some((&self.certificate, state.identity.cert.first()?))
    }

    fn interval(&self) -> Duration {
        self.reload_interval_ms.duration()
    }
}

fn clients(config: &ServerTlsConfig) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let Some(path) = &config.client_ca else {
        let wanting = match (config.require_client_certificate, config.crl.is_empty()) {
            (true, _) => "require_client_certificate",
            (false, false) => "crl",
            (false, true) => return Ok(None),
        };
        return Err(OperatorError::new(ErrorKind::Config, format!("`{wanting}` is set without `client_ca`"))
            .hint("name the authorities to believe in `client_ca`"));
    };
    let roots = Arc::new(files::roots(path).map_err(|error| error.under("client_ca"))?);
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .with_crls(files::revocation_lists(&config.crl)?)
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status();
    if !config.require_client_certificate {
        verifier = verifier.allow_unauthenticated();
    }
    let verifier = verifier.build().map_err(|error| {
        OperatorError::new(ErrorKind::Config, format!("{} cannot verify clients", path.display()))
            .caused_by(&error)
            .hint("check the authorities in `client_ca` and the lists in `crl`")
    })?;
    Ok(Some(verifier))
}

/// What rustls asks, answered by the files as they are at present.
#[derive(Clone)]
pub(super) struct Follow {
    pub(super) tls: Arc<Reloading<ServerTlsConfig>>,
    /// Whether everybody has to show a certificate, whatever the configuration says.
    pub(super) always: bool,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follow").field(&self.tls.source().certificate).finish()
    }
}

impl Follow {
    pub(super) fn clients(&self) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        self.tls.current().clients.clone().ok_or_else(|| Error::General("no client is believed".to_owned()))
    }
}

impl ResolvesServerCert for Follow {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.tls.current().identity))
    }
}

impl StoresServerSessions for Follow {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.tls.current().sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.tls.current().sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.tls.current().sessions.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Follow {
    fn offer_client_auth(&self) -> bool {
        self.tls.current().clients.is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.always || self.tls.source().require_client_certificate
    }

    /// None: the names would have to live as long as the handshake, and the authorities may change
    /// meanwhile. A client without hints shows the certificate that it has (RFC 8446, 4.2.4).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients()?.verify_client_cert(leaf, rest, now);
        verified.inspect_err(|error| refusal::tell("client", leaf, error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients()?.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients()?.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
