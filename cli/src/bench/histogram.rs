//! How long calls took: counts in buckets that are exact to less than one part in a hundred.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Buckets for each doubling, as a power of two.
const FINE: u32 = 7;
const BUCKETS: usize = ((64 - FINE as usize) + 1) << FINE;

/// Counts of times, which many write at once.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        let counts = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { counts, sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket(nanos)) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(nanos, Relaxed);
        self.max.fetch_max(nanos, Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The longest.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.max.load(Relaxed))
    }

    /// The mean; nought where nothing was counted.
    pub(super) fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum.load(Relaxed).checked_div(self.count()).unwrap_or(0))
    }

    /// What `part` of them (0 to 1) did not exceed: the upper end of a bucket, and never more than the longest.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank between 1 and the count"
        )]
        let mut left = ((self.count() as f64 * part).ceil() as u64).max(1);
        for (index, count) in self.counts.iter().enumerate() {
            let count = count.load(Relaxed);
            if count >= left {
                return Duration::from_nanos(upper(index)).min(self.max());
            }
            left -= count;
        }
        self.max()
    }

    /// How many lie in `(from, to]`, by the upper ends of their buckets.
    pub(super) fn between(&self, from: Duration, to: Duration) -> u64 {
        let within =
            |index: usize| (from..to).contains(&Duration::from_nanos(upper(index).saturating_sub(1)));
        let counts = self.counts.iter().enumerate().filter(|(index, _)| within(*index));
        counts.map(|(_, count)| count.load(Relaxed)).sum()
    }
}

/// The bucket of a value: exact below two to the power of `FINE`, then so many for each doubling.
fn bucket(value: u64) -> usize {
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(FINE + 1);
    let base = (doublings as usize) << FINE;
    base + usize::try_from(value >> doublings).unwrap_or(usize::MAX)
}

/// The greatest value of a bucket.
fn upper(index: usize) -> u64 {
    let doublings = u32::try_from((index >> FINE).saturating_sub(1)).unwrap_or(u32::MAX);
    let first = (index - ((doublings as usize) << FINE)) as u64;
    (u128::from(first + 1) << doublings).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}
