//! Tokens that let peers join.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::check_segment;
use crate::invalid::{Invalid, at_most};
use crate::peer::PeerId;
use crate::unmet::Unmet;

/// Whom a token lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinTokenSpec {
    /// The role of whoever joins: 1 to 64 of `[a-z0-9.-]`.
    pub role: String,
    /// The cluster that they join: 1 to 64 of `[a-z0-9.-]`.
    pub cluster: String,
    /// The one name that is given; empty where each may choose one that nobody has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What certificates may hold for beside the identity: names, addresses, or `*.example` for the names of one
    /// level below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// How many may join: 1 to 500.
    #[serde(default = "once")]
    pub uses: u32,
    /// For how long, in seconds: 1 to 30 days.
    #[serde(default = "an_hour")]
    pub lifetime_seconds: u32,
}

const fn once() -> u32 {
    1
}

const fn an_hour() -> u32 {
    3_600
}

/// A token that lets peers join, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinToken {
    /// What it is called; no secret.
    pub id: String,
    /// The digest of the secret; whoever has it cannot make the secret of it.
    pub digest: String,
    /// Whom it lets in.
    pub spec: JoinTokenSpec,
    /// Who joined by it.
    pub joined: Vec<Joined>,
    /// Whether an operator took it back.
    pub withdrawn: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Who issued it.
    pub issued_by: String,
    /// Until when it lets anyone in.
    pub expires_at: Timestamp,
    /// The ticket of the last change; empty where none was named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// Grows by one with every change of this record; 1 at first.
    pub record_version: u64,
}

/// Someone who joined by a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The name.
    pub name: String,
    /// The digest of the request, so that its repetition is no second use.
    pub request: String,
}

impl JoinTokenSpec {
    /// The most hosts.
    pub const MAX_HOSTS: usize = 16;
    /// The most uses: every one of them is written into the record.
    pub const MAX_USES: u32 = 500;
    /// The longest lifetime in seconds.
    pub const MAX_LIFETIME: u32 = 30 * 24 * 3_600;

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_segment("role", &self.role, 64)?;
        check_segment("cluster", &self.cluster, 64)?;
        if !self.name.is_empty() {
            check_peer("name", &self.name)?;
        }
        at_most("hosts", self.hosts.len(), Self::MAX_HOSTS)?;
        for (index, host) in self.hosts.iter().enumerate() {
            check_host(&format!("hosts[{index}]"), host.strip_prefix("*.").unwrap_or(host))?;
        }
        for (field, value, max) in [
            ("uses", self.uses, Self::MAX_USES),
            ("lifetimeSeconds", self.lifetime_seconds, Self::MAX_LIFETIME),
        ] {
            if !(1..=max).contains(&value) {
                return Err(Invalid::new(field, format!("is {value}; choose 1 to {max}")));
            }
        }
        if !self.name.is_empty() && self.uses > 1 {
            return Err(Invalid::new("uses", "is above 1, but the one `name` can be given once"));
        }
        Ok(())
    }

    /// The name that somebody gets who asks for one, which may be empty.
    ///
    /// # Errors
    /// [`Invalid`] where the token gives another name, or none is asked for and none given.
    pub fn name_for(&self, asked: &str) -> Result<String, Invalid> {
        let name = match (self.name.as_str(), asked) {
            ("", asked) => asked,
            (given, "") => given,
            (given, asked) if given == asked => given,
            (given, _) => {
                return Err(Invalid::new(
                    "name",
                    format!("is another one than `{given}`, which the token gives"),
                ));
            }
        };
        check_peer("name", name)?;
        Ok(name.to_owned())
    }

    /// What a certificate holds for where this is asked for; where nothing is, all that is named in full.
    ///
    /// # Errors
    /// [`Invalid`] for what the token does not allow.
    pub fn hosts_for(&self, asked: &[String]) -> Result<Vec<String>, Invalid> {
        if asked.is_empty() {
            return Ok(self.hosts.iter().filter(|host| !host.starts_with("*.")).cloned().collect());
        }
        at_most("hosts", asked.len(), Self::MAX_HOSTS)?;
        for (index, host) in asked.iter().enumerate() {
            let field = format!("hosts[{index}]");
            check_host(&field, host)?;
            if !self.hosts.iter().any(|allowed| covers(allowed, host)) {
                return Err(Invalid::new(field, format!("is `{host}`, which the token does not allow")));
            }
        }
        Ok(asked.to_vec())
    }
}

impl JoinToken {
    /// Whether it lets somebody in now who sent a request with this digest.
    ///
    /// # Errors
    /// It was taken back, has ended, or was used as often as it may be.
    pub fn admits(&self, request: &str, now: Timestamp) -> Result<(), Unmet> {
        let hint = "ask an administrator of the mesh for a new one (`omnirelay mesh bootstrap issue-token`)";
        if self.withdrawn {
            return Err(Unmet::new(format!("the join token {} was withdrawn", self.id), hint));
        }
        if now >= self.expires_at {
            return Err(Unmet::new(format!("the join token {} ended at {}", self.id, self.expires_at), hint));
        }
        if self.used() >= self.spec.uses && !self.knows(request) {
            return Err(Unmet::new(format!("the join token {} has no uses left", self.id), hint));
        }
        Ok(())
    }

    /// How many joined by it.
    #[must_use]
    pub fn used(&self) -> u32 {
        u32::try_from(self.joined.len()).unwrap_or(u32::MAX)
    }

    /// Whether this very request was let in before: its answer was lost, say.
    #[must_use]
    pub fn knows(&self, request: &str) -> bool {
        self.joined.iter().any(|joined| joined.request == request)
    }

    /// The token once somebody joined by it.
    #[must_use]
    pub fn used_by(mut self, name: &str, request: &str) -> Self {
        if !self.knows(request) {
            self.joined.push(Joined { name: name.to_owned(), request: request.to_owned() });
        }
        self
    }

    /// When a token of this lifetime ends that is issued now.
    #[must_use]
    pub fn end(spec: &JoinTokenSpec, now: Timestamp) -> Timestamp {
        now.saturating_add(SignedDuration::from_secs(spec.lifetime_seconds.into())).unwrap_or(now)
    }
}

fn check_peer(field: &str, name: &str) -> Result<(), Invalid> {
    check_segment(field, name, 128)?;
    PeerId::new(name).map(drop)
}

/// An address, or a DNS name in lower case (RFC 1123, section 2.1).
fn check_host(field: &str, host: &str) -> Result<(), Invalid> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() <= 253 && host.split('.').all(is_label) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("is {host:?}; write a DNS name in lower case, or an address")))
}

/// Whether a host is one that is allowed. A wildcard stands for one label (RFC 6125, section 6.4.3).
fn covers(allowed: &str, host: &str) -> bool {
    match allowed.strip_prefix("*.") {
        Some(domain) => {
            host.split_once('.').is_some_and(|(_, rest)| rest == domain) && host.parse::<IpAddr>().is_err()
        }
        None => allowed == host,
    }
}
