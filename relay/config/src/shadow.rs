//! Copies of calls for another outbound, whose answers are compared and thrown away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Copies of a route's unary calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowConfig {
    /// The outbound that gets them.
    pub outbound: String,
    /// So many of a hundred unary calls, 1 to 100.
    #[serde(default = "all")]
    pub percent: u32,
    /// Copies in flight, 1 to 10000; there is no copy of a call that finds as many.
    #[serde(default = "hundred")]
    pub max_pending: u32,
    /// Bytes of a request that is copied, and of an answer that is compared, 1 to 1048576.
    #[serde(default = "max_body_bytes")]
    pub max_body_bytes: u32,
    /// Headers and trailers of answers that may differ, beside those that always may.
    #[serde(default)]
    pub ignore_headers: Vec<String>,
}

const fn all() -> u32 {
    100
}

const fn hundred() -> u32 {
    100
}

const fn max_body_bytes() -> u32 {
    64 << 10
}
