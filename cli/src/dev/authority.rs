//! The development authority: one ECDSA P-256 key that signs certificates for loopback.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};

use super::files::{self, Access};

/// Long enough that nobody's mesh ends over it, short enough for every verifier.
const LEAF_DAYS: i64 = 397;
const AUTHORITY_DAYS: i64 = 3650;
/// Clocks of containers and machines differ a little.
const BACKDATED_DAYS: i64 = 1;

/// An authority that can sign.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
    /// Nothing that was signed before counts.
    pub(super) is_new: bool,
}

/// Where a certificate chain and its key lie.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
}

impl Authority {
    /// Where the authority's certificate lies.
    pub(super) fn certificate(directory: &Path) -> PathBuf {
        directory.join("ca.pem")
    }

    /// Where the authority's key lies.
    pub(super) fn private_key(directory: &Path) -> PathBuf {
        directory.join("ca.key")
    }

    /// Takes up the authority of `directory`, or makes one where there is none yet.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let (certificate, key) = (Self::certificate(directory), Self::private_key(directory));
        let params = authority_params()?;
        let found = (files::read(&certificate)?, files::read(&key)?);
        let is_new = found == (None, None);
        let key_pair = match found {
            (Some(_), Some(pem)) => KeyPair::from_pem(&pem).map_err(|error| {
                OperatorError::new(ErrorKind::Config, "the development authority's key cannot be read")
                    .at(key.display().to_string())
                    .caused_by(&error)
                    .hint(format!("remove `{}` to make a new authority", directory.display()))
            })?,
            (None, None) => {
                let key_pair = generate()?;
                let signed = params.self_signed(&key_pair).map_err(|error| signing_failed(&error))?;
                files::write(&key, key_pair.serialize_pem().as_bytes(), Access::Private)?;
                files::write(&certificate, signed.pem().as_bytes(), Access::Public)?;
                key_pair
            }
            _ => {
                return Err(OperatorError::new(
                    ErrorKind::Config,
                    "the development authority is incomplete: `ca.pem` and `ca.key` belong together",
                )
                .at(directory.display().to_string())
                .hint(format!(
                    "restore the missing one, or remove `{}` to make a new authority",
                    directory.display()
                )));
            }
        };
        // The issuer is its name and its key; both are the same on every run.
        Ok(Self { issuer: Issuer::new(params, key_pair), directory: directory.to_owned(), is_new })
    }

    /// Where the files of `name` lie.
    pub(super) fn files(directory: &Path, name: &str) -> KeyFiles {
        KeyFiles {
            certificate: directory.join(format!("{name}.pem")),
            private_key: directory.join(format!("{name}.key")),
        }
    }

    /// A list that revokes nothing, as PEM: what a process believes before it has heard of any.
    pub(super) fn empty_list(&self) -> Result<String> {
        let (from, until) = (days_from_now(-BACKDATED_DAYS)?, days_from_now(LEAF_DAYS)?);
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(from.0, from.1, from.2),
            next_update: rcgen::date_time_ymd(until.0, until.1, until.2),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(|error| signing_failed(&error))
    }

    /// Signs a new certificate for `spiffe` that also holds for `hosts` (names or addresses), good
    /// for both ends of a connection.
    pub(super) fn issue(&self, name: &str, spiffe: &str, hosts: &[String]) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        validity(&mut params, LEAF_DAYS)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names.push(SanType::URI(ascii(spiffe)?));
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(ascii(host)?),
            });
        }
        let key_pair = generate()?;
        let certificate =
            params.signed_by(&key_pair, &self.issuer).map_err(|error| signing_failed(&error))?;
        let to = Self::files(&self.directory, name);
        files::write(&to.private_key, key_pair.serialize_pem().as_bytes(), Access::Private)?;
        files::write(&to.certificate, certificate.pem().as_bytes(), Access::Public)
    }
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "OmniRelay development");
    params.distinguished_name.push(DnType::CommonName, "OmniRelay development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, AUTHORITY_DAYS)?;
    Ok(params)
}

fn generate() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| {
        OperatorError::new(ErrorKind::Internal, "a key cannot be generated").caused_by(&error)
    })
}

fn ascii<T: TryFrom<String, Error = rcgen::Error>>(text: &str) -> Result<T> {
    T::try_from(text.to_owned()).map_err(|error| {
        OperatorError::new(ErrorKind::Usage, format!("`{text}` cannot stand in a certificate"))
            .caused_by(&error)
            .hint("host names are ASCII; write others in their `xn--` form")
    })
}

/// The date so many days from now, as year, month and day.
fn days_from_now(days: i64) -> Result<(i32, u8, u8)> {
    let failed = |error: jiff::Error| {
        OperatorError::new(ErrorKind::Internal, "the clock shows no usable date").caused_by(&error)
    };
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = today.checked_add(jiff::Span::new().try_days(days).map_err(failed)?).map_err(failed)?;
    Ok((i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs()))
}

fn validity(params: &mut CertificateParams, days: i64) -> Result<()> {
    let (year, month, day) = days_from_now(-BACKDATED_DAYS)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = days_from_now(days)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(())
}

fn signing_failed(error: &rcgen::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Internal, "a certificate cannot be signed").caused_by(error)
}
