//! What a route keeps while it serves: counts, and what operators ordered. It goes on across reloads.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::fault::Faults;
use super::limits::Reason;
use super::shadow::ShadowStats;

/// What a route keeps while it serves.
#[derive(Default)]
pub(crate) struct RouteState {
    pub(super) pending: AtomicU32,
    pub(crate) faults: Faults,
    pub(super) shadow: ShadowStats,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl RouteState {
    pub(super) fn refused(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    /// Calls that limits refused, by reason.
    pub(super) fn refusals(&self) -> [(&'static str, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| (reason.name(), self.refused[reason as usize].load(Relaxed)))
    }

    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Relaxed)
    }
}
