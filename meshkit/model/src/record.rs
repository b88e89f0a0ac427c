//! What the store keeps: records of a few kinds, each under a key, each as JSON.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bootstrap::{Identity, JoinToken, Revocation};
use crate::cluster::Cluster;
use crate::config::ConfigDocument;
use crate::idempotency::IdempotentAnswer;
use crate::invalid::Invalid;
use crate::lease::Lease;
use crate::namespace::Namespace;
use crate::peer::{Peer, PeerId};
use crate::shard::Shard;

/// The kinds of records. A new one takes a variant here, its name and its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who is in the mesh.
    Peer,
    /// What is cut into shards.
    Namespace,
    /// Who owns a shard.
    Shard,
    /// A cluster of the mesh.
    Cluster,
    /// A piece of the mesh's configuration, or a past version of one.
    Config,
    /// A token that lets peers join, as a digest.
    JoinToken,
    /// Someone who joined, with the certificates issued to it.
    Identity,
    /// A certificate that counts no more.
    Revocation,
    /// A request that was answered, so that its repetition is answered alike.
    IdempotencyKey,
    /// Who leads what.
    Lease,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 10] = [
        Self::Peer,
        Self::Namespace,
        Self::Shard,
        Self::Cluster,
        Self::Config,
        Self::JoinToken,
        Self::Identity,
        Self::Revocation,
        Self::IdempotencyKey,
        Self::Lease,
    ];

    /// The name in stores, audits and tokens: 1 to 32 of `[a-z-]`, never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Namespace => "namespace",
            Self::Shard => "shard",
            Self::Cluster => "cluster",
            Self::Config => "config",
            Self::JoinToken => "join-token",
            Self::Identity => "identity",
            Self::Revocation => "revocation",
            Self::IdempotencyKey => "idempotency-key",
            Self::Lease => "lease",
        }
    }

    /// Whether changes of it stand in the audit. What only remembers an answer is none of the
    /// mesh's state, and the change that it belongs to has its own entry.
    #[must_use]
    pub const fn is_audited(self) -> bool {
        !matches!(self, Self::IdempotencyKey)
    }

    /// Checks that `value` is what a record of this kind looks like under `key` in `version`.
    ///
    /// # Errors
    /// What is off, for people: the store that holds it is damaged.
    pub fn check(self, key: &str, version: u64, value: &str) -> Result<(), String> {
        match self {
            Self::Peer => check::<Peer>(key, version, value),
            Self::Namespace => check::<Namespace>(key, version, value),
            Self::Shard => check::<Shard>(key, version, value),
            Self::Cluster => check::<Cluster>(key, version, value),
            Self::Config => check::<ConfigDocument>(key, version, value),
            Self::IdempotencyKey => check::<IdempotentAnswer>(key, version, value),
            Self::Lease => check::<Lease>(key, version, value),
            Self::JoinToken => check::<JoinToken>(key, version, value),
            Self::Identity => check::<Identity>(key, version, value),
            Self::Revocation => check::<Revocation>(key, version, value),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| Invalid::new("kind", format!("is {name:?}, which no record has")))
    }
}

/// A type whose values the store keeps.
pub trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its kind; no other type has it.
    const KIND: Kind;

    /// Its key, unique among records of its kind: 1 to 256 bytes without control characters.
    fn key(&self) -> String;

    /// Grows by one with every change of the record; 1 at first.
    fn version(&self) -> u64;

    /// Sets the version; the store alone decides on it.
    fn set_version(&mut self, version: u64);

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    fn validate(&self) -> Result<(), Invalid>;

    /// What watchers can filter by: names and values, a few of them.
    fn fields(&self) -> Fields {
        Fields::new()
    }

    /// What protects ownership that the record grants; none where it grants none.
    fn fence(&self) -> Option<Fence> {
        None
    }
}

/// Names and values of a record that watchers can filter by.
pub type Fields = Vec<(&'static str, String)>;

/// Under what number somebody owns something: whoever acts on ownership presents it, and it never
/// goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Grows with every change of owner.
    pub number: u64,
    /// The owner; empty where there is none.
    pub owner: String,
}

/// What every record writes alike: where its version stands.
macro_rules! versioned {
    () => {
        fn version(&self) -> u64 {
            self.record_version
        }

        fn set_version(&mut self, version: u64) {
            self.record_version = version;
        }
    };
}
pub(crate) use versioned;

impl Record for Peer {
    const KIND: Kind = Kind::Peer;

    fn key(&self) -> String {
        self.spec.id.to_string()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        self.spec.validate()
    }

    fn fields(&self) -> Fields {
        vec![
            ("role", self.spec.role.clone()),
            ("service", self.spec.service.clone()),
            ("cluster", self.spec.cluster.clone()),
            ("zone", self.spec.zone.clone()),
            ("status", self.status.as_str().to_owned()),
        ]
    }
}

impl Record for Namespace {
    const KIND: Kind = Kind::Namespace;

    fn key(&self) -> String {
        self.name.clone()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        Self::validate(self)
    }
}

impl Record for Shard {
    const KIND: Kind = Kind::Shard;

    fn key(&self) -> String {
        Self::key_of(&self.namespace, self.id)
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        Self::validate(self)
    }

    fn fields(&self) -> Fields {
        let owner = self.owner.as_ref().map_or("", PeerId::as_str);
        vec![
            ("namespace", self.namespace.clone()),
            ("owner", owner.to_owned()),
            ("status", self.status.as_str().to_owned()),
        ]
    }

    fn fence(&self) -> Option<Fence> {
        let owner = self.owner.as_ref().map_or("", PeerId::as_str);
        Some(Fence { number: self.fence, owner: owner.to_owned() })
    }
}

impl Record for Cluster {
    const KIND: Kind = Kind::Cluster;

    fn key(&self) -> String {
        self.spec.id.clone()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        self.spec.validate()
    }

    fn fields(&self) -> Fields {
        vec![("region", self.spec.region.clone()), ("state", self.state.as_str().to_owned())]
    }
}

impl Record for ConfigDocument {
    const KIND: Kind = Kind::Config;

    fn key(&self) -> String {
        if self.archived { Self::archive_key(self.number) } else { Self::PRESENT.to_owned() }
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        // A version of the past was valid in its time.
        if self.archived { Ok(()) } else { self.content.validate() }
    }

    fn fields(&self) -> Fields {
        vec![("archived", self.archived.to_string())]
    }
}

impl Record for IdempotentAnswer {
    const KIND: Kind = Kind::IdempotencyKey;

    fn key(&self) -> String {
        self.key.clone()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Record for Lease {
    const KIND: Kind = Kind::Lease;

    fn key(&self) -> String {
        self.scope.to_string()
    }

    fn version(&self) -> u64 {
        self.record_version
    }

    fn set_version(&mut self, version: u64) {
        self.record_version = version;
    }

    fn validate(&self) -> Result<(), Invalid> {
        Self::validate(self)
    }

    fn fields(&self) -> Fields {
        let holder = self.holder.as_ref().map_or("", PeerId::as_str);
        vec![("holder", holder.to_owned())]
    }

    fn fence(&self) -> Option<Fence> {
        // Another process of the same name is another owner.
        let owner = self.holder.as_ref().map(|holder| format!("{holder} {}", self.session));
        Some(Fence { number: self.fence, owner: owner.unwrap_or_default() })
    }
}

fn check<R: Record>(key: &str, version: u64, value: &str) -> Result<(), String> {
    let record: R = serde_json::from_str(value).map_err(|error| error.to_string())?;
    if record.key() != key {
        return Err(format!("it holds {}/{}", R::KIND, record.key()));
    }
    if record.version() != version {
        return Err(format!("it holds version {}, not {version}", record.version()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn names_come_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), kind);
        }
        assert!("planet".parse::<Kind>().is_err());
    }

    #[test]
    fn a_value_is_checked_against_key_and_version() {
        let namespace = r#"{"name":"orders","shards":4,"service":"greeter","recordVersion":3}"#;
        assert_eq!(Kind::Namespace.check("orders", 3, namespace), Ok(()));
        assert!(Kind::Namespace.check("other", 3, namespace).unwrap_err().contains("namespace/orders"));
        assert!(Kind::Namespace.check("orders", 2, namespace).unwrap_err().contains("version 3"));
        assert!(Kind::Shard.check("orders", 3, namespace).is_err());
        assert!(Kind::Config.check("any", 1, "{broken").is_err());
        assert!(Kind::JoinToken.check("any", 1, "{broken").is_err());
    }
}
