//! Lists that an earlier authority signed: whom it revoked stays revoked once another one signs.

use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

const BEGIN: &str = "-----BEGIN X509 CRL-----";
/// More authorities than follow each other within the time of a list.
const MAX: usize = 4;

/// Of what a file of lists holds, as PEM, the lists of other authorities than the one of this name (DER) that are in their
/// time at `now`, in seconds since 1970.
pub(crate) fn elders(held: &str, authority: &[u8], now: i64) -> String {
    let blocks = held.split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{rest}"));
    blocks.filter(|pem| is_elder(pem, authority, now)).take(MAX).collect()
}

fn is_elder(pem: &str, authority: &[u8], now: i64) -> bool {
    let Ok(der) = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, list)) = CertificateRevocationList::from_der(&der) else { return false };
    let in_time = list.next_update().is_some_and(|until| until.timestamp() > now);
    in_time && list.issuer().as_raw() != authority
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
        KeyIdMethod, KeyPair, SerialNumber, date_time_ymd,
    };
    use x509_parser::prelude::X509Certificate;

    use super::*;

    /// The name of an authority, and a list of it that is in its time until the beginning of a year.
    fn list(name: &str, until: i32) -> (Vec<u8>, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        let subject = parsed.subject().as_raw().to_vec();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        (subject, list.signed_by(&Issuer::new(params, key)).unwrap().pem().unwrap())
    }

    #[test]
    fn lists_of_others_are_kept_for_as_long_as_they_count() {
        // date -u -d 2026-06-01 +%s
        let now = 1_780_272_000;
        let (authority, own) = list("new", 2030);
        let (_, elder) = list("old", 2030);
        let (_, ended) = list("older", 2025);
        let held = format!("{own}{elder}{ended}-----BEGIN X509 CRL-----\nbroken");
        assert_eq!(elders(&held, &authority, now), elder);
        assert_eq!(elders(&elder, &authority, now), elder, "again and again");
        assert_eq!(elders("", &authority, now), "");
    }
}
