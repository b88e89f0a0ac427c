//! Requests that were answered, so that their repetition is answered alike.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a request with an idempotency key was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotentAnswer {
    /// The digest of caller and key.
    pub key: String,
    /// The digest of the request.
    pub request: String,
    /// The record as the change left it.
    pub answer: Value,
    /// When.
    pub at: Timestamp,
    /// Grows with every change of this record; it has none, so 1.
    pub record_version: u64,
}

impl IdempotentAnswer {
    /// For how long an answer is remembered at least.
    pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

    /// Whether it may be forgotten.
    #[must_use]
    pub fn is_old(&self, now: Timestamp) -> bool {
        Duration::try_from(now.duration_since(self.at)).is_ok_and(|age| age > Self::KEPT)
    }
}
