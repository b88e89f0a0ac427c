//! Who owns what.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, check_name};
use crate::peer::PeerId;

/// How owners are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The peer with the highest score: see [`placement`](crate::placement).
    #[default]
    Rendezvous,
}

impl Strategy {
    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rendezvous => "rendezvous",
        }
    }
}

impl FromStr for Strategy {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        match name {
            "rendezvous" => Ok(Self::Rendezvous),
            other => Err(Invalid::new("strategy", format!("is {other:?}; it is one of rendezvous"))),
        }
    }
}

/// A key space that is cut into shards which the peers of one service own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// Its name: 1 to 64 of `[a-z0-9.-]`.
    pub name: String,
    /// How many shards it has: 1 to 65536, fixed once created because keys hash over it.
    pub shards: u32,
    /// The service whose peers own the shards: 1 to 128 of `[a-z0-9.-]`.
    pub service: String,
    /// How owners are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// Grows with every change of this record; 1 at first.
    #[serde(default)]
    pub record_version: u64,
}

impl Namespace {
    /// The most shards of a namespace.
    pub const MAX_SHARDS: u32 = 65_536;

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name("name", &self.name, 1, 64)?;
        check_name("service", &self.service, 1, 128)?;
        if self.shards == 0 || self.shards > Self::MAX_SHARDS {
            return Err(Invalid::new(
                "shards",
                format!("is {}; a namespace has 1 to {}", self.shards, Self::MAX_SHARDS),
            ));
        }
        Ok(())
    }
}

/// What may happen to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardStatus {
    /// Its owner serves it.
    Active,
    /// Its owner finishes what it has and takes nothing new.
    Draining,
    /// An operator stopped it for a while; its owner stays.
    Paused,
    /// An operator took it out of service.
    Disabled,
}

impl ShardStatus {
    /// Every status, in order.
    pub const ALL: [Self; 4] = [Self::Active, Self::Draining, Self::Paused, Self::Disabled];

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl FromStr for ShardStatus {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|status| status.as_str() == name).ok_or_else(|| {
            Invalid::new("status", format!("is {name:?}; it is one of active, draining, paused, disabled"))
        })
    }
}

/// One shard of a namespace and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// The namespace's name.
    pub namespace: String,
    /// 0 to the namespace's shard count less one.
    pub id: u32,
    /// How its owner is chosen.
    pub strategy: Strategy,
    /// Its owner; none where no living peer can own it.
    pub owner: Option<PeerId>,
    /// What may happen to it.
    pub status: ShardStatus,
    /// Grows with every change of owner; whoever acts on ownership presents it.
    pub fence: u64,
    /// Grows with every change of this record; 1 at first.
    pub record_version: u64,
    /// When this record changed last.
    pub changed_at: Timestamp,
}

impl Shard {
    /// The key of a shard in the store, such as `orders/7`.
    #[must_use]
    pub fn key_of(namespace: &str, id: u32) -> String {
        format!("{namespace}/{id}")
    }

    /// The namespace and the number that a key stands for.
    #[must_use]
    pub fn place_of(key: &str) -> Option<(&str, u32)> {
        let (namespace, id) = key.rsplit_once('/')?;
        Some((namespace, id.parse().ok()?))
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name("namespace", &self.namespace, 1, 64)?;
        if self.id >= Namespace::MAX_SHARDS {
            return Err(Invalid::new(
                "id",
                format!("is {}; shards are numbered 0 to {}", self.id, Namespace::MAX_SHARDS - 1),
            ));
        }
        Ok(())
    }
}
