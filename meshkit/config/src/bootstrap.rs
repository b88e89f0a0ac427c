//! `[bootstrap]`: the authority that peers get their certificates from.

use std::path::PathBuf;
use std::time::Duration;

use omnirelay_runtime::config::Problems;
use serde::{Deserialize, Serialize};

use crate::model::MeshkitConfig;

/// The authority that peers get their certificates from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapConfig {
    /// PEM file of the authority's certificate; behind it those that it was issued by, where `bundle` holds the root alone.
    pub certificate: PathBuf,
    /// PEM file of its key (PKCS #8, not encrypted); read for each certificate that is issued, and never written or shown.
    pub private_key: PathBuf,
    /// PEM file of the authorities that whoever joins is to believe; the authority's own by default.
    #[serde(default)]
    pub bundle: Option<PathBuf>,
    /// What SPIFFE ids begin with, such as `omnirelay.dev`: 1 to 255 of `[a-z0-9._-]`.
    pub trust_domain: String,
    /// Where the list of revoked certificates is written; the listener believes none that stands in it.
    pub revocation_list: PathBuf,
    /// How long certificates are valid, in seconds: 60 to 31 536 000, a day by default.
    #[serde(default = "a_day")]
    pub certificate_lifetime_s: u32,
}

const fn a_day() -> u32 {
    24 * 3_600
}

impl BootstrapConfig {
    /// How long certificates are valid.
    #[must_use]
    pub fn certificate_lifetime(&self) -> Duration {
        Duration::from_secs(self.certificate_lifetime_s.into())
    }
}

pub(crate) fn check(config: &MeshkitConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let Some(bootstrap) = &config.bootstrap else { return };
    for (key, path) in [
        ("certificate", Some(&bootstrap.certificate)),
        ("private_key", Some(&bootstrap.private_key)),
        ("bundle", bootstrap.bundle.as_ref()),
        ("revocation_list", Some(&bootstrap.revocation_list)),
    ] {
        if path.is_some_and(|path| path.as_os_str().is_empty()) {
            let key = format!("bootstrap.{key}");
            found.say(&key, &format!("`{key}` is empty"), "name a file");
        }
    }
    let domain = &bootstrap.trust_domain;
    let is_domain = (1..=255).contains(&domain.len())
        && domain.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
    if !is_domain {
        let problem = format!("`{}` is not a trust domain", domain.escape_debug());
        found.say("bootstrap.trust_domain", &problem, "use 1 to 255 of a-z, 0-9, `.`, `-` and `_`");
    }
    if !(60..=31_536_000).contains(&bootstrap.certificate_lifetime_s) {
        let key = "bootstrap.certificate_lifetime_s";
        let problem = format!("`{key}` is {}", bootstrap.certificate_lifetime_s);
        found.say(key, &problem, "choose 60 to 31536000; a day or less makes a stolen key worth little");
    }
    if config.listener.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) {
        let problem = "`bootstrap` issues certificates that `listener` would not believe";
        found.say("bootstrap", problem, "name the authority's root in `listener.tls.client_ca`");
    }
    if config.listener.tls.as_ref().is_some_and(|tls| tls.require_client_certificate) {
        let problem = "`listener.tls.require_client_certificate` keeps out whoever has no certificate yet";
        let remedy = "leave it out: whoever shows neither certificate nor token is refused anyway";
        found.say("listener.tls.require_client_certificate", problem, remedy);
    }
}
