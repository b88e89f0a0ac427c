//! What a route keeps while it serves: counts, and what operators ordered. It goes on across reloads.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::fault::Faults;

/// What a route keeps while it serves.
#[derive(Default)]
pub(crate) struct RouteState {
    pub(super) pending: AtomicU32,
    pub(crate) faults: Faults,
}

impl RouteState {
    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Relaxed)
    }
}
