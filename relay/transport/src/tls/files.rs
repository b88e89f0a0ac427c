//! Certificates, keys, authorities and revocation lists as files hold them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::provider;

/// A bundle of every public authority is a quarter of a mebibyte.
const MAX_PEM_BYTES: u64 = 4 << 20;
/// Lists of public authorities reach tens of mebibytes.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// A certificate chain with its key, which fits.
pub(super) fn certified_key(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let chain = certificates(certificate, "certificate").map_err(|error| error.under("certificate"))?;
    let private = private_key(key).map_err(|error| error.under("private_key"))?;
    CertifiedKey::from_der(chain, private, &provider())
        .map(Arc::new)
        .map_err(|error| mismatch(certificate, key, &error).under("private_key"))
}

/// Revocation lists, each file as PEM or as DER.
pub(super) fn revocation_lists(paths: &[PathBuf]) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    read_lists(paths).map_err(|error| error.under("crl"))
}

fn read_lists(paths: &[PathBuf]) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let mut lists = Vec::new();
    for path in paths {
        let bytes = read(path, "revocation list", MAX_LIST_BYTES)?;
        if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
            lists.push(CertificateRevocationListDer::from(bytes));
            continue;
        }
        let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(path, "revocation list", &error))?;
        if found.is_empty() {
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!("{} holds no revocation list", path.display()),
            )
            .hint("name a file with a `BEGIN X509 CRL` block, or one in DER"));
        }
        lists.extend(found);
    }
    Ok(lists)
}

pub(super) fn roots(path: &Path) -> Result<RootCertStore> {
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
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path, what, MAX_PEM_BYTES)?)
        .collect::<Result<_, _>>()
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
    let pem = read(path, "private key", MAX_PEM_BYTES)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unreadable(path, "private key", &error))
}

fn read(path: &Path, what: &str, max: u64) -> Result<Vec<u8>> {
    file::read_at_most(path, max).map_err(|error| unreadable(path, what, &error))
}

fn unreadable(path: &Path, what: &str, error: &(dyn std::error::Error + 'static)) -> OperatorError {
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
