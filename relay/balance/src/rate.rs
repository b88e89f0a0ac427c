//! How many calls may begin in a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::moment::Moment;

/// A token bucket: it fills at a rate, holds at most a burst, and each call takes one token. It is kept as the
/// time at which the bucket is full again (the generic cell rate algorithm, ITU-T I.371), in one word.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

/// The rate and the burst of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from one token to the next.
    interval: u64,
    /// Nanoseconds that an empty bucket takes to be full.
    full: u64,
}

impl Rate {
    /// So many calls in a time, and at most `burst` of them at once. Each counts as 1 at least.
    #[must_use]
    pub fn new(calls: u64, time: Duration, burst: u64) -> Self {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let interval = (time / calls.max(1)).max(1);
        Self { interval, full: interval.saturating_mul(burst.max(1)) }
    }
}

impl Bucket {
    /// Takes a token.
    ///
    /// # Errors
    /// How long it is until there is one.
    pub fn take(&self, rate: Rate, now: Moment) -> Result<(), Duration> {
        let now = now.as_micros().saturating_mul(1000);
        let mut wait = 0;
        let took = self.0.try_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now).saturating_add(rate.interval);
            wait = full_at.saturating_sub(now).saturating_sub(rate.full);
            (wait == 0).then_some(full_at)
        });
        match took {
            Ok(_) => Ok(()),
            Err(_) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Becomes as full as another one.
    #[cfg(test)]
    pub(crate) fn set_to(&self, other: &Self) {
        self.0.store(other.0.load(Relaxed), Relaxed);
    }

    /// Whether it is full, so that it may be forgotten.
    #[must_use]
    pub fn is_full(&self, now: Moment) -> bool {
        self.0.load(Relaxed) <= now.as_micros().saturating_mul(1000)
    }
}
