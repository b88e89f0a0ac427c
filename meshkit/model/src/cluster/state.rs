//! How clusters come to serve and cease to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::invalid::Invalid;
use crate::unmet::Unmet;

/// Whether a cluster serves.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// It serves.
    Active,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It follows the active ones and could take over.
    Passive,
    /// It is being worked on and cannot take over.
    Maintenance,
}

impl ClusterState {
    /// Every state, in order.
    pub const ALL: [Self; 4] = [Self::Active, Self::Draining, Self::Passive, Self::Maintenance];

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Passive => "passive",
            Self::Maintenance => "maintenance",
        }
    }

    /// The states that follow this one upwards, the usual one first.
    const fn up(self) -> &'static [Self] {
        match self {
            Self::Active => &[],
            Self::Draining | Self::Passive => &[Self::Active],
            Self::Maintenance => &[Self::Passive],
        }
    }

    /// The states that follow this one downwards, the usual one first. What is active drains first:
    /// nothing that was accepted is dropped.
    const fn down(self) -> &'static [Self] {
        match self {
            Self::Active => &[Self::Draining],
            Self::Draining => &[Self::Passive, Self::Maintenance],
            Self::Passive => &[Self::Maintenance],
            Self::Maintenance => &[],
        }
    }
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClusterState {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| {
            Invalid::new("state", format!("is {name:?}; it is one of active, draining, passive, maintenance"))
        })
    }
}

/// A change of state that an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// One step towards serving.
    Promote {
        /// Also where a passive cluster of higher priority is passed over.
        pass_over: bool,
    },
    /// One step away from serving; to this state where it is named.
    Demote {
        /// The state that is wanted; the usual one where it is left out.
        to: Option<ClusterState>,
    },
}

/// The state that a request leads to, and the other clusters that this rests on: it holds only as
/// long as they stay as they are.
///
/// # Errors
/// [`Unmet`] for a step that there is not, for a promotion that passes over a passive cluster of
/// higher priority, and for leaving no cluster active.
pub fn decide<'a>(
    cluster: &Cluster,
    others: &'a [Cluster],
    request: Request,
) -> Result<(ClusterState, Vec<&'a Cluster>), Unmet> {
    let next = step(cluster, request)?;
    let others = || others.iter().filter(|other| other.spec.id != cluster.spec.id);
    match (request, next) {
        (Request::Promote { pass_over: false }, ClusterState::Active) => {
            let better = others()
                .filter(|other| other.state == ClusterState::Passive)
                .filter(|other| other.spec.priority > cluster.spec.priority)
                .max_by_key(|other| other.spec.priority);
            // A drain that is called off takes over from nobody.
            if let Some(better) = better.filter(|_| cluster.state == ClusterState::Passive) {
                return Err(Unmet::new(
                    format!(
                        "`{}` has priority {} and `{}`, which is passive too, has {}",
                        cluster.spec.id, cluster.spec.priority, better.spec.id, better.spec.priority
                    ),
                    format!("promote `{}`, or say that it is to be passed over", better.spec.id),
                ));
            }
            Ok((next, Vec::new()))
        }
        _ if cluster.state == ClusterState::Active => {
            let remaining = others().find(|other| other.state == ClusterState::Active);
            match remaining {
                Some(remaining) => Ok((next, vec![remaining])),
                None => Err(Unmet::new(
                    format!("`{}` is the last active cluster", cluster.spec.id),
                    "promote another cluster first",
                )),
            }
        }
        _ => Ok((next, Vec::new())),
    }
}

fn step(cluster: &Cluster, request: Request) -> Result<ClusterState, Unmet> {
    let (steps, verb, wanted) = match request {
        Request::Promote { .. } => (cluster.state.up(), "promoted", None),
        Request::Demote { to } => (cluster.state.down(), "demoted", to),
    };
    let found = match wanted {
        None => steps.first(),
        Some(wanted) => steps.iter().find(|step| **step == wanted),
    };
    if let Some(next) = found {
        return Ok(*next);
    }
    let names: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
    let hint = match names.as_slice() {
        [] => format!("there is nothing beyond {}", cluster.state),
        names => format!("from {} it can be {verb} to {}", cluster.state, names.join(" or ")),
    };
    let to = wanted.map(|wanted| format!(" to {wanted}")).unwrap_or_default();
    Err(Unmet::new(format!("`{}` is {} and cannot be {verb}{to}", cluster.spec.id, cluster.state), hint))
}
