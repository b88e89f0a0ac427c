//! Who a process is, as files: a key that it made itself and the certificate that the mesh issued for it.

mod keep;

use std::path::{Path, PathBuf};

use omnirelay_proto::meshkit::v1;
use omnirelay_runtime::file::{self, Access};
use omnirelay_runtime::{Drain, ErrorKind, OperatorError, Result};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use relay_transport::tls;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::client::MeshClient;

const MAX_PEM_BYTES: u64 = 4 << 20;

/// A directory with what a member of the mesh needs for TLS:
///
/// - `identity.pem` (mode 0600): its key and its certificate chain in one file, so that both change in one step; `certificate`
///   and `private_key` of a configuration name it both;
/// - `ca.pem`: the authorities that it believes (`client_ca` and `ca`);
/// - `crl.pem`: the certificates that count no more (`crl`).
///
/// The key never leaves the machine: the mesh sees a request that is signed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    directory: PathBuf,
}

/// A key that is not anybody's yet, and the request for its certificate.
pub struct NewKey {
    key: KeyPair,
    request: String,
}

impl Identity {
    /// The identity in a directory, whatever is there now.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The file of key and certificate.
    #[must_use]
    pub fn identity_file(&self) -> PathBuf {
        self.directory.join("identity.pem")
    }

    /// The file of the authorities.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The file of the revocation list.
    #[must_use]
    pub fn crl_file(&self) -> PathBuf {
        self.directory.join("crl.pem")
    }

    /// Whether somebody joined here.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.identity_file().exists()
    }

    /// Writes a certificate with the key that it was issued for, and what came with it; every TLS configuration of this
    /// process looks at its files then.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn write(&self, key: &NewKey, issued: &v1::IssuedCertificate) -> Result<()> {
        self.make_directory()?;
        self.write_trust(&issued.trust_bundle, &issued.revocation_list)?;
        let pem = format!("{}{}", key.key.serialize_pem(), issued.certificate_chain);
        put(&self.identity_file(), &pem, Access::Private)?;
        tls::look_now();
        Ok(())
    }

    /// Writes the authorities and the revocation list where they are others than those that are there. What is empty is
    /// left as it is.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn write_trust(&self, bundle: &str, revocation_list: &str) -> Result<()> {
        self.make_directory()?;
        let mut changed = false;
        for (path, pem) in [(self.ca_file(), bundle), (self.crl_file(), revocation_list)] {
            if pem.is_empty() || std::fs::read(&path).is_ok_and(|held| held == pem.as_bytes()) {
                continue;
            }
            put(&path, pem, Access::Public)?;
            changed = true;
        }
        if changed {
            tls::look_now();
        }
        Ok(())
    }

    /// From when until when the present certificate is valid, in seconds since 1970.
    ///
    /// # Errors
    /// A file that is missing, or holds no certificate.
    pub fn validity(&self) -> Result<(i64, i64)> {
        let path = self.identity_file();
        let failed = |cause: &str| {
            OperatorError::new(ErrorKind::Config, format!("{} holds no identity", path.display()))
                .because(cause)
                .hint("join first: `omnirelay mesh bootstrap join`")
        };
        let pem = file::read_at_most(&path, MAX_PEM_BYTES).map_err(|error| failed(&error.to_string()))?;
        let leaf = CertificateDer::from_pem_slice(&pem).map_err(|error| failed(&error.to_string()))?;
        tls::validity(&leaf).ok_or_else(|| failed("its certificate cannot be read"))
    }

    /// Keeps the identity until the drain begins: follows authorities and revocations, and renews the certificate long
    /// before it ends, where somebody joined here. While the control plane is away what is there counts on.
    pub fn keep(self, client: &MeshClient, drain: &Drain) {
        keep::spawn(self, client, drain);
    }

    fn make_directory(&self) -> Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder.create(&self.directory).map_err(|error| unwritable(&self.directory, &error))
    }
}

impl NewKey {
    /// Makes a key (ECDSA, P-256) and signs a request by it. The request names nobody: the mesh decides who it is for.
    ///
    /// # Errors
    /// A system without random bytes.
    pub fn generate() -> Result<Self> {
        let failed = |error: rcgen::Error| {
            OperatorError::new(ErrorKind::Internal, "a key cannot be made").caused_by(&error)
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
        Ok(Self { key, request })
    }

    /// The request for a certificate (PKCS #10) as PEM.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.request
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewKey(secret)")
    }
}

fn put(path: &Path, pem: &str, access: Access) -> Result<()> {
    file::replace(path, pem.as_bytes(), access).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Io, format!("{} cannot be written", path.display()))
        .caused_by(error)
        .hint("name a directory that is yours to write in")
}
