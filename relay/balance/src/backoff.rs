//! How long to wait before a call is tried again.

use std::time::Duration;

/// Exponential back-off with full jitter ("Exponential Backoff And Jitter", Brooker 2015): a wait
/// between nothing and a bound that doubles, so that callers that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub base: Duration,
    /// The bound that it grows to.
    pub max: Duration,
}

impl Backoff {
    /// The wait before try `retry`, counted from 1, by 64 random bits.
    #[must_use]
    pub fn wait(&self, retry: u32, random: u64) -> Duration {
        let doubled = self.base.saturating_mul(1 << retry.saturating_sub(1).min(20));
        let bound = u64::try_from(doubled.min(self.max).as_micros()).unwrap_or(u64::MAX);
        let share = (u128::from(random) * u128::from(bound.saturating_add(1))) >> 64;
        Duration::from_micros(u64::try_from(share).unwrap_or(bound))
    }
}
