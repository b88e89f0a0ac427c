//! What tests of anything that speaks TLS need: an authority of their own, and bad weather.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support says by panicking that it failed")]

mod weather;

use std::path::{Path, PathBuf};

#[cfg(unix)]
use rustix::process::{Pid, Signal};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use relay_transport::tls::{ClientTlsConfig, ServerTlsConfig};

pub use weather::{Network, Weather};

/// Asks a process to end, as an init system does.
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn terminate(process: u32) {
    send(process, Signal::TERM);
}

/// Ends a process without asking.
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn kill(process: u32) {
    send(process, Signal::KILL);
}

#[cfg(unix)]
fn send(process: u32, signal: Signal) {
    let process = process.try_into().ok().and_then(Pid::from_raw).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// An authority in a temporary folder that is removed with it.
pub struct TestCa {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key as PEM files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub private_key: PathBuf,
}

impl TestCa {
    /// Makes a new authority.
    ///
    /// # Panics
    /// Where the temporary folder cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// The folder that the files are in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Issues a certificate for `localhost`, the loopback addresses and `spiffe`.
    ///
    /// # Panics
    /// Where `spiffe` is no URI or the folder cannot be written.
    #[must_use]
    pub fn issue(&self, spiffe: &str) -> Issued {
        let names = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.push(SanType::URI(spiffe.try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let stem: String = spiffe.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let file = |end: &str| self.dir.path().join(format!("{stem}.{end}"));
        let issued = Issued { certificate: file("pem"), private_key: file("key") };
        std::fs::write(&issued.certificate, certificate.pem()).unwrap();
        std::fs::write(&issued.private_key, key.serialize_pem()).unwrap();
        issued
    }

    /// TLS for a server that believes this authority's clients and does without them.
    #[must_use]
    pub fn server_tls(&self, spiffe: &str) -> ServerTlsConfig {
        let issued = self.issue(spiffe);
        ServerTlsConfig {
            certificate: issued.certificate,
            private_key: issued.private_key,
            client_ca: Some(self.ca()),
            require_client_certificate: false,
        }
    }

    /// TLS for a client that believes this authority, with a certificate of its own if named.
    #[must_use]
    pub fn client_tls(&self, spiffe: Option<&str>) -> ClientTlsConfig {
        let issued = spiffe.map(|spiffe| self.issue(spiffe));
        ClientTlsConfig {
            ca: Some(self.ca()),
            certificate: issued.as_ref().map(|issued| issued.certificate.clone()),
            private_key: issued.map(|issued| issued.private_key),
            server_name: None,
        }
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}
