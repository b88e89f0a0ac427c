//! Who owns what.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, at_most, check_name, check_text};
use crate::namespace::{Namespace, Strategy};
use crate::peer::PeerId;
use crate::placement::hash;

/// What may happen to a shard.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
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

/// How far its owner's ownership has come. Where hand-over is immediate it is always active.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Named, and not heard yet. Without an owner a shard is here too.
    Assigned,
    /// Makes itself ready; takes no calls.
    Warming,
    /// Takes calls.
    #[default]
    Active,
    /// Finishes what it has and takes nothing new.
    Draining,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Assigned, Self::Warming, Self::Active, Self::Draining];

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Warming => "warming",
            Self::Active => "active",
            Self::Draining => "draining",
        }
    }
}

/// Who takes a shard over from its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Successor {
    /// The peer.
    pub peer: PeerId,
    /// Whether it said that it is ready to serve.
    #[serde(default)]
    pub ready: bool,
}

/// One shard of a namespace and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// How far the owner's ownership has come.
    #[serde(default, skip_serializing_if = "is_active")]
    pub phase: Phase,
    /// Who takes over; none where nobody is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Successor>,
    /// The other peers that keep it, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<PeerId>,
    /// The peer that an operator chose; none where the strategy chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<PeerId>,
    /// How much load it is expected to carry, where 1 is usual: 1 to 1000.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub capacity_hint: u32,
    /// The ticket of the last change by an operator, up to 256 bytes; empty where none was named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// Grows with every change of owner; whoever acts on ownership presents it.
    pub fence: u64,
    /// Grows with every change of this record; 1 at first.
    pub record_version: u64,
    /// When this record changed last.
    pub changed_at: Timestamp,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_active(phase: &Phase) -> bool {
    *phase == Phase::Active
}

const fn usual() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_usual(hint: &u32) -> bool {
    *hint == 1
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

    /// A shard without an owner.
    #[must_use]
    pub fn new(namespace: &Namespace, id: u32, now: Timestamp) -> Self {
        Self {
            namespace: namespace.name.clone(),
            id,
            strategy: namespace.strategy,
            owner: None,
            status: ShardStatus::Active,
            phase: Phase::Active,
            successor: None,
            standbys: Vec::new(),
            pinned: None,
            capacity_hint: 1,
            ticket: String::new(),
            fence: 1,
            record_version: 0,
            changed_at: now,
        }
    }

    /// Who takes its calls now; none while nobody does.
    #[must_use]
    pub fn leader(&self) -> Option<&PeerId> {
        self.owner.as_ref().filter(|_| self.phase == Phase::Active)
    }

    /// Whether an operator stopped it where it is.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.status, ShardStatus::Paused | ShardStatus::Disabled)
    }

    /// A digest of what callers act on, the same in every SDK: the pinned
    /// [`hash`](crate::placement::hash) of `NAMESPACE/ID|OWNER|FENCE|PHASE|STATUS`.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        let owner = self.owner.as_ref().map_or("", PeerId::as_str);
        let (phase, status) = (self.phase.as_str(), self.status.as_str());
        hash(format!("{}/{}|{owner}|{}|{phase}|{status}", self.namespace, self.id, self.fence).as_bytes())
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_text("ticket", &self.ticket, 256)?;
        at_most("standbys", self.standbys.len(), Namespace::MAX_REPLICAS as usize)?;
        if self.capacity_hint == 0 || self.capacity_hint > 1_000 {
            return Err(Invalid::new("capacityHint", format!("is {}; it is 1 to 1000", self.capacity_hint)));
        }
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
