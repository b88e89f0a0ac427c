//! How long things last, and how far clocks may be apart.

use std::time::Duration;

/// Time by the clock of one process, which never goes back: since a moment that never changes.
pub type Mono = Duration;

/// How long a lease lasts, and who else is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease lasts after each renewal.
    pub lease: Duration,
    /// Whether no other process can have the store: then whoever held a lease before is gone, and a
    /// renewal need not be written for others to see.
    pub is_alone: bool,
}

/// Clocks may go this much too fast or too slow: a tenth.
const DRIFT: u32 = 10;

impl Timing {
    /// How long a holder counts on a lease: so much less than it lasts that a slow clock does no harm.
    #[must_use]
    pub fn own(lease: Duration) -> Duration {
        lease - lease / DRIFT
    }

    /// How long others wait after they saw a lease renewed: so much more than it lasts that a fast
    /// clock does no harm.
    #[must_use]
    pub fn others(lease: Duration) -> Duration {
        lease + lease / DRIFT
    }

    /// How long after a renewal the next one is due: there is time for a second and a third try.
    #[must_use]
    pub fn renew_after(&self) -> Duration {
        self.lease / 3
    }

    /// How long to leave the store alone after it failed.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.lease / 16
    }

    /// How long who gave a lease up leaves it to others.
    #[must_use]
    pub fn sits_out(&self) -> Duration {
        self.lease * 2
    }
}
