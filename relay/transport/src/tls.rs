//! TLS 1.3 from files: the only TLS there is, with ring as its only provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::Protocol;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// Who a server is, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// Whom a client believes, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// The product's only cryptography provider.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads a server's files and makes a configuration that offers `protocols`.
///
/// # Errors
/// A file that is missing, unreadable, empty or not PEM; a key that does not fit its certificate.
pub fn server_config(config: &ServerTlsConfig, protocols: &[Protocol]) -> Result<ServerConfig> {
    let chain = certificates(&config.certificate, "certificate")?;
    let key = private_key(&config.private_key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| broken_provider(&error))?;
    let builder = match &config.client_ca {
        None if config.require_client_certificate => {
            return Err(OperatorError::new(
                ErrorKind::Config,
                "`require_client_certificate` is set without `client_ca`",
            )
            .hint("name the authorities to believe in `client_ca`"));
        }
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            if !config.require_client_certificate {
                verifier = verifier.allow_unauthenticated();
            }
            let verifier = verifier.build().map_err(|error| {
                OperatorError::new(ErrorKind::Config, format!("{} cannot verify clients", path.display()))
                    .caused_by(&error)
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut tls = builder
        .with_single_cert(chain, key)
        .map_err(|error| mismatch(&config.certificate, &config.private_key, &error))?;
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect();
    tls.max_early_data_size = 0;
    Ok(tls)
}

/// Reads a client's files and makes a configuration that offers `protocols`.
///
/// # Errors
/// As [`server_config`].
pub fn client_config(config: &ClientTlsConfig, protocols: &[Protocol]) -> Result<ClientConfig> {
    let roots = match &config.ca {
        Some(path) => roots(path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| broken_provider(&error))?
        .with_root_certificates(roots);
    let mut tls = match (&config.certificate, &config.private_key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate, "certificate")?, private_key(key)?)
            .map_err(|error| mismatch(certificate, key, &error))?,
        _ => {
            return Err(OperatorError::new(
                ErrorKind::Config,
                "a client certificate needs both `certificate` and `private_key`",
            )
            .hint("set both, or neither"));
        }
    };
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect();
    Ok(tls)
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, "authority")? {
        store.add(certificate).map_err(|error| {
            OperatorError::new(ErrorKind::Config, format!("{} holds no authority", path.display()))
                .caused_by(&error)
                .hint("name a PEM file of CA certificates")
        })?;
    }
    Ok(store)
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, what, &error))?;
    if found.is_empty() {
        return Err(OperatorError::new(
            ErrorKind::Config,
            format!("{} holds no certificate", path.display()),
        )
        .hint("name a PEM file with at least one `BEGIN CERTIFICATE` block"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, "private key", &error))
}

fn unreadable(path: &Path, what: &str, error: &rustls_pki_types::pem::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Config, format!("the {what} file {} cannot be read", path.display()))
        .caused_by(error)
        .hint("check the path, its permissions and that it is PEM; `omnirelay dev init` makes files for a local mesh")
}

fn mismatch(certificate: &Path, key: &Path, error: &rustls::Error) -> OperatorError {
    OperatorError::new(
        ErrorKind::Config,
        format!("{} and {} do not belong together", certificate.display(), key.display()),
    )
    .caused_by(error)
    .hint("name the private key that the certificate was issued for")
}

fn broken_provider(error: &rustls::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Internal, "TLS 1.3 is not available").caused_by(error)
}
