//! The authority: its files, and what it signs. Its key is read when something is to be signed and kept nowhere.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use meshkit_model::{Revocation, Timestamp};
use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber,
};
use relay_transport::tls;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

const MAX_PEM_BYTES: u64 = 1 << 20;
/// Clocks of machines differ a little: so long ago a certificate begins, but never more than a tenth of its lifetime.
const BACKDATED: Duration = Duration::from_secs(300);
/// For how long others believe a list that they cannot renew; ours are renewed long before.
const LIST_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The longest common name (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;

/// What the module is told about its authority.
#[derive(Clone, Debug)]
pub struct Settings {
    /// PEM file of the authority's certificate, and behind it those that it was issued by, where they are no roots.
    pub certificate: PathBuf,
    /// PEM file of its key (PKCS #8).
    pub private_key: PathBuf,
    /// PEM file of the authorities that members believe; the authority's own where none is named.
    pub bundle: Option<PathBuf>,
    /// What SPIFFE ids begin with.
    pub trust_domain: String,
    /// Where the list of revoked certificates is written.
    pub revocation_list: PathBuf,
    /// How long certificates are valid.
    pub lifetime: Duration,
}

/// An authority that can sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key_identifier: KeyIdMethod,
    /// What stands behind a leaf, as PEM.
    chain: String,
    /// Whom members believe, as PEM.
    pub(crate) bundle: String,
    /// Its name as DER.
    pub(crate) subject: Vec<u8>,
    /// When its own certificate ends, in seconds since 1970.
    ends: i64,
}

/// Whom a certificate is for.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) spiffe: &'a str,
    pub(crate) hosts: &'a [String],
    pub(crate) serial: &'a [u8],
}

/// A certificate that was signed.
pub(crate) struct Signed {
    /// Leaf first, as PEM.
    pub(crate) chain: String,
    pub(crate) expires_at: Timestamp,
}

impl Authority {
    /// Reads the files.
    pub(crate) fn load(settings: &Settings) -> Result<Self> {
        let text = read(&settings.certificate)?;
        let bundle = settings.bundle.as_deref().map(read).transpose()?;
        let der = certificates(&settings.certificate, &text)?.swap_remove(0);
        let (_, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| off(&settings.certificate, "holds no certificate that can be read", &error))?;
        let key_identifier =
            parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(KeyIdMethod::PreSpecified(id.0.to_vec())),
                _ => None,
            });
        // Whoever is named as a root is believed to be one, so nobody else looks.
        if !parsed.is_ca() {
            let problem =
                format!("{} is not the certificate of an authority", settings.certificate.display());
            return Err(OperatorError::new(ErrorKind::Config, problem)
                .hint("name one whose basic constraints say CA, such as `omnirelay dev init` makes"));
        }
        let subject = parsed.subject().as_raw().to_vec();
        let ends = parsed.validity().not_after.timestamp();
        let key = key_of(&settings.private_key)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            let (certificate, key) = (settings.certificate.display(), settings.private_key.display());
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!("{certificate} and {key} do not belong together"),
            )
            .hint("name the key that the authority's certificate was issued for"));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| {
            off(&settings.certificate, "is no authority that certificates can be issued by", &error)
        })?;
        Ok(Self {
            issuer,
            key_identifier: key_identifier.unwrap_or(KeyIdMethod::Sha256),
            chain: if bundle.is_some() { text.clone() } else { String::new() },
            bundle: bundle.unwrap_or(text),
            subject,
            ends,
        })
    }

    /// Tries the authority: signs a certificate and a list, and looks whether members would believe them.
    pub(crate) fn check(&self, settings: &Settings, now: Timestamp) -> Result<()> {
        let refused = |cause: &(dyn std::error::Error + 'static)| {
            OperatorError::new(ErrorKind::Config, "nobody would believe what the authority issues")
                .at(settings.certificate.display().to_string())
                .caused_by(cause)
                .hint(
                    "name an authority's certificate (CA, with cRLSign) with its key, and a `bundle` that holds its root",
                )
        };
        warn_of_readers(&settings.private_key);
        let key = KeyPair::generate().map_err(|error| refused(&error))?;
        let subject = Subject { name: "check", spiffe: "spiffe://check/check", hosts: &[], serial: &[1; 16] };
        let signed =
            self.issue(&key, &subject, now, Duration::from_secs(60)).map_err(|error| refused(&error))?;
        let list = self.revocation_list(&[], now).map_err(|error| refused(&error))?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&settings.certificate, &self.bundle)? {
            roots.add(root).map_err(|error| refused(&error))?;
        }
        let list = rustls_pki_types::CertificateRevocationListDer::from_pem_slice(list.as_bytes());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .with_crls(list.ok())
            .only_check_end_entity_revocation()
            .build()
            .map_err(|error| refused(&error))?;
        let chain = certificates(&settings.certificate, &signed.chain)?;
        let (leaf, rest) = chain.split_first().ok_or_else(|| refused(&fmt::Error))?;
        verifier.verify_client_cert(leaf, rest, UnixTime::now()).map_err(|error| refused(&error))?;
        Ok(())
    }

    /// Signs a certificate for a key, good for both ends of a connection.
    pub(crate) fn issue(
        &self,
        key: &impl PublicKeyData,
        subject: &Subject<'_>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Signed, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if subject.name.len() <= MAX_COMMON_NAME {
            params.distinguished_name.push(DnType::CommonName, subject.name);
        }
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        // Nothing is valid beyond the authority itself.
        let end = now.as_second().saturating_add(seconds).min(self.ends);
        let backdated = BACKDATED.min(lifetime / 10);
        params.not_before = time(now.as_second() - i64::try_from(backdated.as_secs()).unwrap_or_default());
        params.not_after = time(end);
        params.serial_number = Some(SerialNumber::from_slice(subject.serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names.push(SanType::URI(subject.spiffe.try_into()?));
        for host in subject.hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into()?),
            });
        }
        let leaf = params.signed_by(key, &self.issuer)?;
        let expires_at = Timestamp::from_second(end).unwrap_or(now);
        Ok(Signed { chain: format!("{}{}", leaf.pem(), self.chain), expires_at })
    }

    /// Signs the list of these revoked certificates, as PEM.
    pub(crate) fn revocation_list(
        &self,
        revoked: &[Revocation],
        now: Timestamp,
    ) -> Result<String, rcgen::Error> {
        let revoked_certs = revoked.iter().filter_map(|revocation| {
            let serial = HEXLOWER_PERMISSIVE.decode(revocation.serial.as_bytes()).ok()?;
            Some(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: time(revocation.revoked_at.as_second()),
                reason_code: None,
                invalidity_date: None,
            })
        });
        let number = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let list = CertificateRevocationListParams {
            this_update: time(now.as_second() - i64::try_from(BACKDATED.as_secs()).unwrap_or_default()),
            next_update: time(now.as_second()) + LIST_LIFETIME,
            // Grows with every list, on whichever node.
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: self.key_identifier.clone(),
        };
        list.signed_by(&self.issuer)?.pem()
    }
}

fn key_of(path: &Path) -> Result<KeyPair> {
    let pem = read(path)?;
    // The library's own words could quote the key.
    let refused = || {
        OperatorError::new(ErrorKind::Config, format!("{} holds no key that can be used", path.display()))
            .hint("name an unencrypted PKCS #8 key in PEM; `openssl pkcs8 -topk8 -nocrypt -in KEY` makes one of others")
    };
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| refused())?;
    KeyPair::try_from(&der).map_err(|_| refused())
}

/// Says where others can read the key: it is theirs as well then.
fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
        if mode & 0o077 != 0 {
            let file = path.display().to_string();
            tracing::warn!(file, hint = "chmod 600", "others than its owner can reach the authority's key");
        }
    }
}

/// Seconds since 1970 as certificates write times.
fn time(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn read(path: &Path) -> Result<String> {
    let bytes =
        file::read_at_most(path, MAX_PEM_BYTES).map_err(|error| off(path, "cannot be read", &error))?;
    String::from_utf8(bytes).map_err(|error| off(path, "is not PEM", &error))
}

fn certificates(path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| off(path, "is not PEM", &error))?;
    if found.is_empty() {
        return Err(OperatorError::new(
            ErrorKind::Config,
            format!("{} holds no certificate", path.display()),
        )
        .hint("name a PEM file with at least one `BEGIN CERTIFICATE` block"));
    }
    Ok(found)
}

fn off(path: &Path, what: &str, cause: &(dyn std::error::Error + 'static)) -> OperatorError {
    OperatorError::new(ErrorKind::Config, format!("{} {what}", path.display()))
        .caused_by(cause)
        .hint("name the authority's certificate and its key in `[bootstrap]`, as PEM that meshkitd may read")
}
