//! TLS 1.3 from files: the only TLS there is, with ring as its only provider.
//!
//! Files are read again when they change, and what they make is swapped as a whole: new
//! connections see the new certificates, open ones stay. A broken new file changes nothing.

mod client;
mod files;
mod mutual;
mod refusal;
mod reloading;
mod server;
pub(crate) mod stats;
mod trust;
mod x509;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::Protocol;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use client::client_config;
pub use reloading::look_now;
pub(crate) use server::PeerCheck;
pub use server::ServerTls;
pub use trust::{Trust, TrustWatch};
pub use x509::validity;

/// Who a server is, and whom it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTlsConfig {
    /// PEM file of the certificate chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file of the leaf's private key.
    pub private_key: PathBuf,
    /// PEM file of the authorities whose client certificates are believed.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Refuse clients without a certificate already in the handshake.
    #[serde(default)]
    pub require_client_certificate: bool,
    /// Files (PEM or DER) of the authorities' lists of revoked client certificates. Only the leaf
    /// is looked up; a certificate of an authority without a list counts as not revoked, and a
    /// list is used beyond its own next update.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// Milliseconds between two looks at the files; 0 is never.
    #[serde(default)]
    pub reload_interval_ms: ReloadInterval,
}

/// Whom a client believes, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsConfig {
    /// PEM file of the authorities to believe instead of the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's private key.
    #[serde(default)]
    pub private_key: Option<PathBuf>,
    /// The name that the server's certificate must carry, where it is not the one in the URL.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Files (PEM or DER) of the authorities' lists of revoked server certificates, as
    /// [`ServerTlsConfig::crl`].
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// Milliseconds between two looks at the files; 0 is never.
    #[serde(default)]
    pub reload_interval_ms: ReloadInterval,
}

/// How often certificate files are looked at; 5000 ms where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ReloadInterval(pub u64);

impl Default for ReloadInterval {
    fn default() -> Self {
        Self(5_000)
    }
}

impl ReloadInterval {
    fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// The product's only cryptography provider.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads a server's files and makes a configuration that offers `protocols`.
///
/// # Errors
/// As [`ServerTls::load`].
pub fn server_config(config: &ServerTlsConfig, protocols: &[Protocol]) -> Result<ServerConfig> {
    ServerTls::load(config)?.rustls(protocols)
}

fn alpn(protocols: &[Protocol]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect()
}

fn broken_provider(error: &rustls::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Internal, "TLS 1.3 is not available").caused_by(error)
}
