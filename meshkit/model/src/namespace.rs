//! What is cut into shards, and by which rules they are placed.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, at_most, check_name};

/// How owners are chosen: each is an order of preference of a shard among peers. Whatever the order,
/// every peer owns its fair share: see [`place`](crate::placement::place).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The next of each peer's 64 points on a ring of hashes.
    Ring,
    /// The peer with the highest score: see [`placement`](crate::placement).
    #[default]
    Rendezvous,
    /// Rendezvous by weight: a peer of weight 2 owns twice as much as one of weight 1.
    WeightedRendezvous,
    /// Jump consistent hashing over the peers in the order of their ids.
    Jump,
    /// Rendezvous by weight among the peers of the namespace's own zones; those of other zones own only where
    /// there is none of them.
    LocalityAware,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 5] =
        [Self::Ring, Self::Rendezvous, Self::WeightedRendezvous, Self::Jump, Self::LocalityAware];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Rendezvous => "rendezvous",
            Self::WeightedRendezvous => "weighted-rendezvous",
            Self::Jump => "jump",
            Self::LocalityAware => "locality-aware",
        }
    }

    /// Whether a peer's weight counts.
    #[must_use]
    pub const fn weighs(self) -> bool {
        matches!(self, Self::WeightedRendezvous | Self::LocalityAware)
    }
}

impl FromStr for Strategy {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("strategy", format!("is {name:?}; it is one of {names}"))
        })
    }
}

/// How ownership goes from one peer to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Handover {
    /// At once, for services whose peers need no time and keep nothing.
    #[default]
    Immediate,
    /// Step by step, as owners acknowledge: see [`lifecycle`](crate::lifecycle).
    Acknowledged,
}

impl Handover {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Acknowledged => "acknowledged",
        }
    }
}

impl FromStr for Handover {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        match name {
            "immediate" => Ok(Self::Immediate),
            "acknowledged" => Ok(Self::Acknowledged),
            other => {
                Err(Invalid::new("handover", format!("is {other:?}; it is one of immediate, acknowledged")))
            }
        }
    }
}

/// A key space that is cut into shards which the peers of one service own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// Its name: 1 to 64 of `[a-z0-9.-]`.
    pub name: String,
    /// How many shards it has: 1 to 65536, fixed once created because keys hash over it.
    pub shards: u32,
    /// The service whose peers own the shards: 1 to 128 of `[a-z0-9.-]`; fixed once created.
    pub service: String,
    /// How owners are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// How many peers keep each shard, its owner included: 1 to 5.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Whether the peers of a shard stand in different zones as long as there are enough of them.
    #[serde(default = "yes")]
    pub spread_zones: bool,
    /// The zones whose peers own, for [`Strategy::LocalityAware`] alone: 1 to 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// How ownership is handed over.
    #[serde(default)]
    pub handover: Handover,
    /// Grows with every change of this record; 1 at first.
    #[serde(default)]
    pub record_version: u64,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl Namespace {
    /// The most shards of a namespace.
    pub const MAX_SHARDS: u32 = 65_536;
    /// The most peers that keep a shard.
    pub const MAX_REPLICAS: u32 = 5;
    /// The most zones that it names.
    pub const MAX_ZONES: usize = 16;

    /// A namespace with one copy of each shard, by rendezvous, that is handed over at once.
    #[must_use]
    pub fn new(name: impl Into<String>, shards: u32, service: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            shards,
            service: service.into(),
            strategy: Strategy::Rendezvous,
            replicas: 1,
            spread_zones: true,
            zones: Vec::new(),
            handover: Handover::Immediate,
            record_version: 0,
        }
    }

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
        if self.replicas == 0 || self.replicas > Self::MAX_REPLICAS {
            let problem = format!("is {}; a shard has 1 to {}", self.replicas, Self::MAX_REPLICAS);
            return Err(Invalid::new("replicas", problem));
        }
        at_most("zones", self.zones.len(), Self::MAX_ZONES)?;
        for zone in &self.zones {
            check_name("zones", zone, 1, 64)?;
        }
        if self.zones.iter().collect::<BTreeSet<_>>().len() < self.zones.len() {
            return Err(Invalid::new("zones", "names a zone twice"));
        }
        match (self.strategy, self.zones.is_empty()) {
            (Strategy::LocalityAware, true) => {
                Err(Invalid::new("zones", "is empty; locality-aware placement needs the zones that own"))
            }
            (Strategy::LocalityAware, false) | (_, true) => Ok(()),
            (other, false) => {
                Err(Invalid::new("zones", format!("is given, which {} does not use", other.as_str())))
            }
        }
    }

    /// Checks that a change leaves what cannot change.
    ///
    /// # Errors
    /// The first field that would change and must not.
    pub fn validate_change(&self, after: &Self) -> Result<(), Invalid> {
        let fixed = |field: &str, why: &str| Err(Invalid::new(field, format!("cannot be changed: {why}")));
        if self.name != after.name {
            return fixed("name", "create a namespace with the new name");
        }
        if self.shards != after.shards {
            return fixed("shards", "keys hash over the number of shards");
        }
        if self.service != after.service {
            return fixed("service", "another service cannot take over what its owners hold");
        }
        after.validate()
    }
}
