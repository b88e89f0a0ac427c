//! Bounds of a route's calls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds of a route's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimits {
    /// Calls in flight.
    pub max_pending: Option<u32>,
    /// Bytes of a request's body.
    pub max_request_bytes: Option<u64>,
    /// Calls that begin in a time.
    pub rate: Option<RateConfig>,
    /// What each caller may have of it.
    pub per_caller: Option<PerCallerConfig>,
    /// Calls in flight as their latency allows.
    pub adaptive: Option<AdaptiveConfig>,
}

/// Calls that begin in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// So many, 1 to 1000000.
    pub calls: u64,
    /// In so many milliseconds, 1 to 3600000.
    #[serde(default = "second")]
    pub per_ms: u64,
    /// At most so many at once, 1 to 1000000; as many as `calls` without it.
    #[serde(default)]
    pub burst: Option<u64>,
}

/// What each caller may have of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerCallerConfig {
    /// What tells callers apart.
    #[serde(default)]
    pub by: CallerKey,
    /// Calls of one that begin in a time.
    #[serde(default)]
    pub rate: Option<RateConfig>,
    /// Calls of one in flight.
    #[serde(default)]
    pub max_pending: Option<u32>,
}

/// What tells callers apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallerKey {
    /// The SPIFFE id of the caller's certificate; those without one are one caller.
    #[default]
    Identity,
    /// `Rpc-Caller`, which callers choose themselves; those without it are one caller.
    Caller,
}

/// Calls in flight as their latency allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveConfig {
    /// The least, 1 or more.
    pub min: u32,
    /// The most, from `min` to 100000.
    pub max: u32,
    /// By how many percent calls may take longer than without a queue, 10 to 1000.
    pub tolerance_percent: u32,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self { min: 4, max: 1000, tolerance_percent: 50 }
    }
}

const fn second() -> u64 {
    1000
}

impl RateConfig {
    /// Whether it is within its bounds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        (1..=1_000_000).contains(&self.calls)
            && (1..=3_600_000).contains(&self.per_ms)
            && self.burst.is_none_or(|burst| (1..=1_000_000).contains(&burst))
    }
}
