//! What an operator decided about a peer: that it takes no new work, or that it gives up what it has.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, at_most, check_name, check_text};
use crate::peer::PeerSpec;

/// How far a peer is held back. A peer that nobody holds has none of these.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum HoldState {
    /// It keeps the shards that it owns and gets no new ones.
    Cordoned,
    /// It gives up the shards that it owns, and gets no new ones.
    Draining,
    /// It owned nothing any more when that was looked at last, and gets nothing new.
    Drained,
}

impl HoldState {
    /// Every state, from the mildest.
    pub const ALL: [Self; 3] = [Self::Cordoned, Self::Draining, Self::Drained];

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Drained => "drained",
        }
    }

    /// Whether a peer in this state keeps the shards that it owns.
    #[must_use]
    pub const fn keeps_shards(self) -> bool {
        matches!(self, Self::Cordoned)
    }
}

impl FromStr for HoldState {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| {
            Invalid::new("hold", format!("is {name:?}; it is one of cordoned, draining, drained"))
        })
    }
}

/// That a peer is held back, and by whom. It outlives the peer's process and its registrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// How far.
    pub state: HoldState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Who decided it.
    pub by: String,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The ticket; empty where none was named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// The shards that it owned when its drain began: what progress is measured against.
    #[serde(default)]
    pub shards_at_start: u32,
    /// How far its drain has come, as of when the peer was read; none in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<DrainProgress>,
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldVerb {
    /// Take no new shards.
    Cordon,
    /// Be as free as any other peer.
    Uncordon,
    /// Give up all shards.
    Drain,
}

impl HoldVerb {
    /// The state that follows, or none where nothing has to change. Outer `None`: nothing changes;
    /// inner `None`: nobody holds the peer any more.
    ///
    /// A cordon never ends a drain: whoever wants a draining peer back says so by an uncordon.
    #[must_use]
    pub fn apply(self, current: Option<HoldState>) -> Option<Option<HoldState>> {
        match (self, current) {
            (Self::Cordon, None) => Some(Some(HoldState::Cordoned)),
            (Self::Uncordon, Some(_)) => Some(None),
            (Self::Drain, None | Some(HoldState::Cordoned)) => Some(Some(HoldState::Draining)),
            (Self::Cordon, Some(_))
            | (Self::Uncordon, None)
            | (Self::Drain, Some(HoldState::Draining | HoldState::Drained)) => None,
        }
    }
}

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainProgress {
    /// Shards that the peer owned when the drain began.
    pub total: u32,
    /// Shards that it still owns.
    pub remaining: u32,
    /// 0 to 100; 100 exactly where nothing remains.
    pub percent: u8,
}

impl DrainProgress {
    /// The progress of a drain that began with `total` shards, `remaining` of which are left. Shards
    /// that came in between count as if they had been there from the start.
    #[must_use]
    pub fn new(total: u32, remaining: u32) -> Self {
        let total = total.max(remaining);
        let done = u64::from(total - remaining) * 100;
        let percent = done.checked_div(u64::from(total)).map_or(100, |p| u8::try_from(p).unwrap_or(100));
        Self { total, remaining, percent }
    }
}

/// Labels that an operator set over those which a peer registers with; `None` hides the peer's own.
pub type LabelPatch = BTreeMap<String, Option<String>>;

/// Adds a patch to what an operator set before: the newer one counts, label by label.
///
/// # Errors
/// [`Invalid`] for a label beyond the bounds of a [`PeerSpec`], or for more than its most labels.
pub fn patch_labels(before: &LabelPatch, patch: &LabelPatch) -> Result<LabelPatch, Invalid> {
    if patch.is_empty() {
        return Err(Invalid::new("labels", "names none; write a label with its value, or null to remove it"));
    }
    for (key, value) in patch {
        check_name("labels", key, 1, 63)?;
        if let Some(value) = value {
            check_text(&format!("labels.{key}"), value, 256)?;
        }
    }
    let mut after = before.clone();
    after.extend(patch.clone());
    at_most("labels", after.len(), PeerSpec::MAX_LABELS)?;
    Ok(after)
}

/// The labels that everybody sees: the peer's own under the operator's.
#[must_use]
pub fn effective_labels(own: &BTreeMap<String, String>, patch: &LabelPatch) -> BTreeMap<String, String> {
    let mut labels = own.clone();
    for (key, value) in patch {
        match value {
            Some(value) => {
                labels.insert(key.clone(), value.clone());
            }
            None => {
                labels.remove(key);
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests;
