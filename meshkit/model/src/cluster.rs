//! The clusters of a mesh, and who of them serves.

mod state;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, at_most, check_name, check_text};
use crate::peer::Endpoint;

pub use state::{ClusterState, Request, decide};

/// When another cluster takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverMode {
    /// When an operator says so.
    #[default]
    Manual,
    /// Also when this cluster is lost.
    Automatic,
}

impl FailoverMode {
    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
}

impl std::str::FromStr for FailoverMode {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        match name {
            "manual" => Ok(Self::Manual),
            "automatic" => Ok(Self::Automatic),
            other => {
                Err(Invalid::new("failover.mode", format!("is {other:?}; it is one of manual, automatic")))
            }
        }
    }
}

/// What happens when a cluster is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailoverPolicy {
    /// When another cluster takes over.
    pub mode: FailoverMode,
    /// Which clusters may take over, most wanted first; at most 8. Empty means any, by priority.
    pub targets: Vec<String>,
    /// How far a target may lag behind, in milliseconds; 0 means that it does not matter.
    pub max_lag_ms: u64,
}

/// What an operator says about a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Its name: 1 to 64 of `[a-z0-9.-]`, as in the `cluster` of its peers.
    pub id: String,
    /// Where it is: up to 64 of `[a-z0-9.-]`.
    #[serde(default)]
    pub region: String,
    /// The higher, the sooner it serves: 0 to 1000. 0 never takes over by itself.
    #[serde(default)]
    pub priority: u32,
    /// What happens when it is lost.
    #[serde(default)]
    pub failover: FailoverPolicy,
    /// Where its log can be read from; at most 8.
    #[serde(default)]
    pub replication: Vec<Endpoint>,
    /// Whom to ask about it: 1 to 128 bytes each, at most 16.
    #[serde(default)]
    pub owners: Vec<String>,
    /// At most 32: keys 1 to 63 of `[a-z0-9.-]`, values up to 1024 bytes.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl ClusterSpec {
    /// The highest priority.
    pub const MAX_PRIORITY: u32 = 1_000;
    /// The most targets of a failover, and the most replication endpoints.
    pub const MAX_TARGETS: usize = 8;
    /// The most owners.
    pub const MAX_OWNERS: usize = 16;
    /// The most annotations.
    pub const MAX_ANNOTATIONS: usize = 32;

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name("id", &self.id, 1, 64)?;
        check_name("region", &self.region, 0, 64)?;
        if self.priority > Self::MAX_PRIORITY {
            let problem = format!("is {}; it is 0 to {}", self.priority, Self::MAX_PRIORITY);
            return Err(Invalid::new("priority", problem));
        }
        self.validate_failover()?;
        at_most("replication", self.replication.len(), Self::MAX_TARGETS)?;
        for (at, endpoint) in self.replication.iter().enumerate() {
            endpoint.validate(&format!("replication[{at}]"))?;
        }
        at_most("owners", self.owners.len(), Self::MAX_OWNERS)?;
        for (at, owner) in self.owners.iter().enumerate() {
            let field = format!("owners[{at}]");
            check_text(&field, owner, 128)?;
            if owner.trim().is_empty() {
                return Err(Invalid::new(field, "is empty"));
            }
        }
        at_most("annotations", self.annotations.len(), Self::MAX_ANNOTATIONS)?;
        for (key, value) in &self.annotations {
            check_name("annotations", key, 1, 63)?;
            check_text(&format!("annotations.{key}"), value, 1024)?;
        }
        Ok(())
    }

    fn validate_failover(&self) -> Result<(), Invalid> {
        let targets = &self.failover.targets;
        at_most("failover.targets", targets.len(), Self::MAX_TARGETS)?;
        for (at, target) in targets.iter().enumerate() {
            let field = format!("failover.targets[{at}]");
            check_name(&field, target, 1, 64)?;
            if *target == self.id {
                return Err(Invalid::new(field, "is the cluster itself; name another one"));
            }
            if targets.iter().take(at).any(|before| before == target) {
                return Err(Invalid::new(field, format!("names `{target}` a second time")));
            }
        }
        Ok(())
    }
}

/// A cluster as the mesh holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// What an operator said about it.
    pub spec: ClusterSpec,
    /// Whether it serves.
    pub state: ClusterState,
    /// Since when it is in this state.
    pub state_since: Timestamp,
    /// When the record changed last.
    pub changed_at: Timestamp,
    /// Who changed it last.
    pub changed_by: String,
    /// The ticket of the last change; empty where none was named.
    #[serde(default)]
    pub ticket: String,
    /// Grows with every change of this record; 1 at first.
    pub record_version: u64,
}

#[cfg(test)]
mod tests;
