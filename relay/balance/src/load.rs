//! What is known of one peer from the calls that it got.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::ewma::PeakEwma;
use crate::moment::Moment;

/// A peer that fails at once must not look fast: a failure counts as a call of at least so long.
const FAILURE: Duration = Duration::from_secs(1);
/// The share of its calls that a peer gets in the first moment of its slow start.
const COLD: f64 = 0.1;

/// What is known of one peer from the calls that it got. Every call changes it, without a lock; it
/// fills a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
pub struct Load {
    pending: AtomicU32,
    failures_in_a_row: AtomicU32,
    succeeded: AtomicU32,
    failed: AtomicU32,
    /// Since when the peer takes calls, for its slow start.
    since: AtomicU64,
    latency: PeakEwma,
}

impl Load {
    /// A peer that has had no call.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            pending: AtomicU32::new(0),
            failures_in_a_row: AtomicU32::new(0),
            succeeded: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            since: AtomicU64::new(now.as_micros()),
            latency: PeakEwma::new(now),
        }
    }

    /// Calls in flight.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending.load(Relaxed)
    }

    /// Takes a place among at most `max` calls in flight; false where none is free.
    #[must_use]
    pub fn enter(&self, max: u32) -> bool {
        // Most often there is room, and one addition is cheaper than a loop that compares.
        if self.pending.fetch_add(1, Relaxed) < max {
            return true;
        }
        self.leave();
        false
    }

    /// Gives the place back.
    pub fn leave(&self) {
        self.pending.fetch_sub(1, Relaxed);
    }

    /// Notes a call that the peer answered.
    pub fn succeeded(&self, latency: Duration, now: Moment) {
        if self.failures_in_a_row.load(Relaxed) != 0 {
            self.failures_in_a_row.store(0, Relaxed);
        }
        self.succeeded.fetch_add(1, Relaxed);
        self.latency.observe(latency, now);
    }

    /// Notes a call that the peer failed, and says how many in a row that makes.
    pub fn failed(&self, latency: Duration, now: Moment) -> u32 {
        self.failed.fetch_add(1, Relaxed);
        self.latency.observe(latency.max(FAILURE), now);
        self.failures_in_a_row.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Notes that the peer had not answered after so long, when nobody waited for it any more.
    pub fn outpaced(&self, waited: Duration, now: Moment) {
        self.latency.observe(waited, now);
    }

    /// Calls answered and failed since the last time that somebody asked.
    pub fn take_outcomes(&self) -> (u32, u32) {
        (self.succeeded.swap(0, Relaxed), self.failed.swap(0, Relaxed))
    }

    /// The peer takes calls from now on, be it for the first time or again: it starts slowly, and
    /// failures from before are forgotten.
    pub fn begins(&self, now: Moment) {
        self.failures_in_a_row.store(0, Relaxed);
        self.since.store(now.as_micros(), Relaxed);
    }

    /// The share of its calls that a peer should get: it grows evenly up to 1 at the end of `slow_start`.
    #[must_use]
    pub fn warmth(&self, now: Moment, slow_start: Duration) -> f64 {
        let age = now.since(Moment::from_micros(self.since.load(Relaxed)));
        if age >= slow_start {
            return 1.0;
        }
        (age.as_secs_f64() / slow_start.as_secs_f64()).clamp(COLD, 1.0)
    }

    /// Microseconds that the calls in flight and one more are expected to keep the peer busy.
    #[must_use]
    pub fn cost(&self, now: Moment) -> f64 {
        let pending = self.pending();
        f64::from(self.latency.cost(pending, now)) * (f64::from(pending) + 1.0)
    }
}
