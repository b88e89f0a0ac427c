//! What a caller may do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A permission; each contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// Read peers, shards, clusters.
    #[serde(rename = "mesh.read")]
    Read,
    /// Also read metrics and diagnostics, watch, and report oneself.
    #[serde(rename = "mesh.observe")]
    Observe,
    /// Also change what the mesh does.
    #[serde(rename = "mesh.operate")]
    Operate,
    /// Also change who may do what.
    #[serde(rename = "mesh.admin")]
    Admin,
}

impl Scope {
    /// The name on the wire and in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "mesh.read",
            Self::Observe => "mesh.observe",
            Self::Operate => "mesh.operate",
            Self::Admin => "mesh.admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
