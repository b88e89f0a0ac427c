//! Whether the server of an open connection is still believed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use omnirelay_runtime::Result;
use rustls::Error;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::client::in_use;
use super::reloading::Reloading;
use super::{ClientTlsConfig, refusal};

/// How long calls that are in flight may go on where the server's certificate has merely expired; a server
/// that renews it in time is still the one that it was.
const GRACE: Duration = Duration::from_secs(10);

/// Whom a client believes, as its files say at present. Cloning is cheap.
#[derive(Clone)]
pub struct Trust {
    believed: Arc<Reloading<ClientTlsConfig>>,
    name: ServerName<'static>,
}

impl Trust {
    /// Follows the files of a configuration for connections to the server of this name.
    ///
    /// # Errors
    /// As [`client_config`](super::client_config).
    pub fn new(config: &ClientTlsConfig, name: ServerName<'static>) -> Result<Self> {
        Ok(Self { believed: in_use(config)?, name })
    }

    /// Begins to follow the files for a connection whose handshake is about to begin.
    #[must_use]
    pub fn watch(&self) -> TrustWatch {
        TrustWatch { generation: self.believed.generation(), trust: self.clone() }
    }

    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let Some((leaf, rest)) = chain.split_first() else { return Ok(()) };
        let servers = &self.believed.current().servers;
        let verified = servers.verify_server_cert(leaf, rest, &self.name, &[], UnixTime::now());
        verified.map(|_| ()).inspect_err(|error| refusal::tell("server", leaf, error))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Follows the files for one connection.
pub struct TrustWatch {
    generation: tokio::sync::watch::Receiver<u64>,
    trust: Trust,
}

impl TrustWatch {
    /// Returns once a server that showed `chain` is believed no more and its connection has to end. `refused`
    /// is set at once, and nothing new may be sent from then on.
    pub async fn ended(mut self, chain: Vec<CertificateDer<'static>>, refused: Arc<AtomicBool>) {
        let error = loop {
            // A sender that is gone cannot be: we hold it.
            if self.generation.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Err(error) = self.trust.verify(&chain) {
                break error;
            }
        };
        refused.store(true, Ordering::Relaxed);
        if refusal::is_expiry(&error) {
            tokio::time::sleep(GRACE).await;
        }
    }
}

impl fmt::Debug for TrustWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustWatch").field(&self.trust).finish()
    }
}
