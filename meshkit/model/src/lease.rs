//! Who leads what, for how long, and under which fence.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, check_name};
use crate::peer::PeerId;

/// What a leader leads: `global`, `namespace/NAME` or `module/NAME`, where a name is 1 to 64 of
/// `[a-z0-9.-]`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct LeaderScope(String);

impl LeaderScope {
    /// The mesh as a whole.
    #[must_use]
    pub fn global() -> Self {
        Self("global".to_owned())
    }

    /// A key space that is cut into shards.
    ///
    /// # Errors
    /// [`Invalid`] for a name that is none.
    pub fn namespace(name: &str) -> Result<Self, Invalid> {
        format!("namespace/{name}").parse()
    }

    /// A module of MeshKit.
    ///
    /// # Errors
    /// [`Invalid`] for a name that is none.
    pub fn module(name: &str) -> Result<Self, Invalid> {
        format!("module/{name}").parse()
    }

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeaderScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LeaderScope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('/') {
            None if text == "global" => {}
            Some(("namespace" | "module", name)) => check_name("scope", name, 1, 64)?,
            _ => {
                let problem = format!("is {text:?}; it is `global`, `namespace/NAME` or `module/NAME`");
                return Err(Invalid::new("scope", problem));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for LeaderScope {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<LeaderScope> for String {
    fn from(scope: LeaderScope) -> Self {
        scope.0
    }
}

/// What became of a leadership.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LeaderChange {
    /// Somebody leads from now on, under a new fence.
    Elected,
    /// The leader leads on.
    Renewed,
    /// Somebody else leads although it had not ended: a clock went wrong by more than is allowed for.
    Lost,
    /// The leader did not renew it in time.
    Expired,
    /// The leader gave it up.
    SteppedDown,
}

impl LeaderChange {
    /// Every change, in order.
    pub const ALL: [Self; 5] = [Self::Elected, Self::Renewed, Self::Lost, Self::Expired, Self::SteppedDown];

    /// The name in events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elected => "elected",
            Self::Renewed => "renewed",
            Self::Lost => "lost",
            Self::Expired => "expired",
            Self::SteppedDown => "stepped-down",
        }
    }
}

impl fmt::Display for LeaderChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A leadership of the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaderTerm {
    /// Who led.
    pub holder: PeerId,
    /// Under which fence.
    pub fence: u64,
    /// How it ended: lost, expired or stepped-down.
    pub ended: LeaderChange,
}

/// The leadership of one scope. It is never deleted, so that its fence never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// What is led.
    pub scope: LeaderScope,
    /// The node that leads; none where nobody does.
    pub holder: Option<PeerId>,
    /// Which process of that name: chosen at random when it starts; empty where nobody leads.
    #[serde(default)]
    pub session: String,
    /// Grows whenever somebody is elected or ceases to lead; whoever acts as the leader presents it.
    pub fence: u64,
    /// How long the lease lasts after each renewal, in milliseconds.
    pub lease_ms: u32,
    /// Whether the holder was asked to give it up. It does so as soon as it sees that.
    #[serde(default)]
    pub resigning: bool,
    /// What happened last.
    pub change: LeaderChange,
    /// The leadership before this one; none where this is the first.
    #[serde(default)]
    pub previous: Option<LeaderTerm>,
    /// When the holder was elected, or when the last one ceased to lead.
    pub since: Timestamp,
    /// When the record changed last.
    pub changed_at: Timestamp,
    /// Grows with every change of this record; 1 at first.
    pub record_version: u64,
}

impl Lease {
    /// The shortest and the longest lease in milliseconds.
    pub const LEASE_MS: std::ops::RangeInclusive<u32> = 200..=600_000;

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !Self::LEASE_MS.contains(&self.lease_ms) {
            let (least, most) = (Self::LEASE_MS.start(), Self::LEASE_MS.end());
            return Err(Invalid::new("leaseMs", format!("is {}; it is {least} to {most}", self.lease_ms)));
        }
        check_name("session", &self.session, usize::from(self.holder.is_some()), 64)?;
        if self.holder.is_none() && !self.session.is_empty() {
            return Err(Invalid::new("session", "is given where nobody leads"));
        }
        Ok(())
    }

    /// The lease once its holder ceased to lead: under the next fence, held by nobody.
    #[must_use]
    pub fn ended(&self, ended: LeaderChange, at: Timestamp) -> Self {
        Self {
            holder: None,
            session: String::new(),
            fence: self.fence + 1,
            resigning: false,
            change: ended,
            previous: self.term(ended).or_else(|| self.previous.clone()),
            since: at,
            changed_at: at,
            ..self.clone()
        }
    }

    /// The present leadership as one of the past; none where nobody leads.
    #[must_use]
    pub fn term(&self, ended: LeaderChange) -> Option<LeaderTerm> {
        Some(LeaderTerm { holder: self.holder.clone()?, fence: self.fence, ended })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn scopes_come_back_from_their_text() {
        for text in ["global", "namespace/orders.eu", "module/shards"] {
            assert_eq!(text.parse::<LeaderScope>().unwrap().to_string(), text);
        }
        for text in ["", "mesh", "namespace/", "namespace/A", "namespace/a/b", "global/x", "module"] {
            assert!(text.parse::<LeaderScope>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_ended_is_remembered_and_fenced() {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let held = Lease {
            scope: LeaderScope::global(),
            holder: Some(PeerId::new("a").unwrap()),
            session: "s".to_owned(),
            fence: 7,
            lease_ms: 2_000,
            resigning: true,
            change: LeaderChange::Renewed,
            previous: None,
            since: at,
            changed_at: at,
            record_version: 9,
        };
        let ended = held.ended(LeaderChange::SteppedDown, at);
        assert_eq!((ended.fence, ended.holder.as_ref(), ended.resigning), (8, None, false));
        let previous = ended.previous.clone().unwrap();
        assert_eq!((previous.fence, previous.ended), (7, LeaderChange::SteppedDown));
        assert_eq!(ended.validate(), Ok(()));
        assert_eq!(ended.ended(LeaderChange::Lost, at).previous, Some(previous));
    }
}
