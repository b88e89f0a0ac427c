//! What tests of anything that speaks TLS need: an authority of their own, bad weather, and a real etcd.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support says by panicking that it failed")]

#[cfg(unix)]
mod etcd;
mod signer;
mod weather;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(unix)]
use rustix::process::{Pid, Signal};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use relay_transport::tls::{ClientTlsConfig, ServerTlsConfig};

#[cfg(unix)]
pub use etcd::{EtcdCluster, etcd_arguments, etcd_program};
pub use signer::{TokenKey, key_set};
pub use weather::{Network, Weather};

/// Asks a process to end, as an init system does.
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn terminate(process: u32) {
    send(process, Signal::TERM);
}

/// Has a process read its configuration anew.
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn hang_up(process: u32) {
    send(process, Signal::HUP);
}

/// Ends a process without asking.
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn kill(process: u32) {
    send(process, Signal::KILL);
}

/// Lets a process stand still as if its machine did, until [`resume`].
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn pause(process: u32) {
    send(process, Signal::STOP);
}

/// Lets a process go on.
///
/// # Panics
/// Where there is no such process.
#[cfg(unix)]
pub fn resume(process: u32) {
    send(process, Signal::CONT);
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
    issued: AtomicU64,
}

/// A certificate and its key as PEM files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub private_key: PathBuf,
    /// What the authority revokes it by.
    pub serial: u64,
}

/// Writes a file as a rotation does: whole, under the name of the old one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
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
        // What strict clients ask for, Python since 3.13 among them (RFC 5280, sections 4.2.1.1 and 4.2.1.3).
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.path().join("ca.key"), key.serialize_pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key), issued: AtomicU64::new(0) }
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

    /// The authority's own key, for whoever is to issue certificates too.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.dir.path().join("ca.key")
    }

    /// Issues a certificate for `localhost`, the loopback addresses and `spiffe`.
    ///
    /// # Panics
    /// Where `spiffe` is no URI or the folder cannot be written.
    #[must_use]
    pub fn issue(&self, spiffe: &str) -> Issued {
        self.issue_with(spiffe, |_| {})
    }

    /// As [`issue`](Self::issue), for a certificate that ended long ago.
    ///
    /// # Panics
    /// As [`issue`](Self::issue).
    #[must_use]
    pub fn issue_expired(&self, spiffe: &str) -> Issued {
        self.issue_with(spiffe, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// Writes the list of revoked certificates anew and names its file: those whose
    /// [`serial`](Issued::serial) is among `revoked`.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    #[must_use]
    pub fn revoke(&self, revoked: &[u64]) -> PathBuf {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.dir.path().join("revoked.crl");
        replace(&path, &list.signed_by(&self.issuer).unwrap().pem().unwrap());
        path
    }

    /// As [`issue`](Self::issue), for further names and addresses.
    ///
    /// # Panics
    /// As [`issue`](Self::issue).
    #[must_use]
    pub fn issue_for(&self, spiffe: &str, names: &[String]) -> Issued {
        self.issue_with(spiffe, |params| {
            let more = CertificateParams::new(names.to_vec()).unwrap();
            params.subject_alt_names.extend(more.subject_alt_names);
        })
    }

    fn issue_with(&self, spiffe: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let serial = 1 + self.issued.fetch_add(1, Ordering::Relaxed);
        let names = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.push(SanType::URI(spiffe.try_into().unwrap()));
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let stem: String = spiffe.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let file = |end: &str| self.dir.path().join(format!("{stem}.{end}"));
        let issued = Issued { certificate: file("pem"), private_key: file("key"), serial };
        replace(&issued.private_key, &key.serialize_pem());
        replace(&issued.certificate, &certificate.pem());
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
            ..ServerTlsConfig::default()
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
            ..ClientTlsConfig::default()
        }
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}
