//! What is counted.

use prometheus_client::encoding::EncodeLabelSet;

/// Certificates by why they were issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    /// `join` or `renewal`.
    pub(crate) reason: &'static str,
}
