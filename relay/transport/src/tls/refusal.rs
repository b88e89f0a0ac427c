//! Who was refused by its certificate, and why: counted always, logged at a bounded rate.

use std::sync::LazyLock;

use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use tracing::info;

use super::{stats, x509};
use crate::conn_info::PeerIdentity;
use crate::rate::SharedRate;

/// Lines a second that strangers can make us log.
const LINES_PER_SECOND: u32 = 10;

static LINES: LazyLock<SharedRate> = LazyLock::new(|| SharedRate::new(LINES_PER_SECOND));

/// Counts and logs a refusal. `peer` is `client` or `server`; `certificate` is the leaf that it
/// showed.
pub(super) fn tell(peer: &'static str, certificate: &CertificateDer<'_>, error: &rustls::Error) {
    let reason = reason(error);
    stats::refused(peer, reason);
    if !LINES.exceeded() {
        // Debug formatting escapes what a stranger may have put into its certificate.
        info!(peer, reason, who = ?who(certificate), %error, "a peer's certificate was refused");
    }
}

/// Whether a certificate is refused for nothing but its age.
pub(super) fn is_expiry(error: &rustls::Error) -> bool {
    reason(error) == "expired"
}

/// The SPIFFE id, or the subject's common name, as the certificate itself says it.
pub(super) fn who(certificate: &CertificateDer<'_>) -> String {
    PeerIdentity::of(certificate)
        .map(|identity| identity.spiffe().to_owned())
        .or_else(|| x509::subject(certificate))
        .unwrap_or_else(|| "a certificate without a name".to_owned())
}

fn reason(error: &rustls::Error) -> &'static str {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(error) = error else { return "other" };
    match error {
        E::Expired | E::ExpiredContext { .. } => "expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "not-valid-yet",
        E::Revoked => "revoked",
        E::UnknownIssuer | E::BadSignature => "unknown-authority",
        E::NotValidForName | E::NotValidForNameContext { .. } => "wrong-name",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "wrong-purpose",
        _ => "other",
    }
}
