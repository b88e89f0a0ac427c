//! Latencies of a peer over the last while, in a few hundred bytes.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Steps between two powers of two: a percentile is at most a quarter too high.
const STEPS: usize = 4;
/// Powers of two from 16 µs up: the last bucket begins at 67 s.
const POWERS: usize = 23;
const BUCKETS: usize = STEPS * POWERS;
const FIRST: u64 = 16;

/// Counts latencies in two halves, of which [`Histogram::turn`] forgets the older.
#[derive(Debug)]
pub struct Histogram {
    halves: [[AtomicU32; BUCKETS]; 2],
    current: AtomicUsize,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the calls took at most this.
    pub p50: Duration,
    /// 90 % of them.
    pub p90: Duration,
    /// 99 % of them.
    pub p99: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        let half = || std::array::from_fn(|_| AtomicU32::new(0));
        Self { halves: [half(), half()], current: AtomicUsize::new(0) }
    }
}

impl Histogram {
    /// Counts one call.
    pub fn observe(&self, latency: Duration) {
        let half = self.halves.get(self.current.load(Relaxed));
        if let Some(count) = half.and_then(|half| half.get(bucket(latency))) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Forgets the older half and begins a new one.
    pub fn turn(&self) {
        let next = 1 - self.current.load(Relaxed).min(1);
        for count in self.halves.get(next).into_iter().flatten() {
            count.store(0, Relaxed);
        }
        self.current.store(next, Relaxed);
    }

    /// The percentiles of what is remembered; none where there was no call.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let [first, second] = &self.halves;
        let counts: Vec<u64> = (first.iter().zip(second))
            .map(|(a, b)| u64::from(a.load(Relaxed)) + u64::from(b.load(Relaxed)))
            .collect();
        let total: u64 = counts.iter().sum();
        let at = |percent: u64| {
            let mut left = (total * percent).div_ceil(100);
            let index = counts.iter().position(|count| {
                let found = left <= *count;
                left = left.saturating_sub(*count);
                found
            });
            upper_edge(index.unwrap_or(BUCKETS - 1))
        };
        (total > 0).then(|| Percentiles { p50: at(50), p90: at(90), p99: at(99) })
    }
}

fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(FIRST);
    let power = (micros / FIRST).ilog2();
    // The two bits below the highest one.
    let step = (micros >> (power + FIRST.ilog2() - 2)) & 3;
    (power as usize * STEPS + usize::try_from(step).unwrap_or(0)).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> Duration {
    let (power, step) = (bucket / STEPS, bucket % STEPS);
    Duration::from_micros((FIRST << power) / 4 * (5 + step as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_said_of_no_calls_and_old_ones_are_forgotten() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), None);
        histogram.observe(Duration::from_millis(1));
        histogram.turn();
        assert!(histogram.percentiles().is_some());
        histogram.turn();
        assert_eq!(histogram.percentiles(), None);
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_a_quarter_too_high(
            mut micros in prop::collection::vec(16u64..60_000_000, 1..300),
        ) {
            let histogram = Histogram::default();
            micros.iter().for_each(|one| histogram.observe(Duration::from_micros(*one)));
            micros.sort_unstable();
            let told = histogram.percentiles();
            prop_assert!(told.is_some());
            let Some(told) = told else { return Ok(()) };
            for (percent, told) in [(50, told.p50), (90, told.p90), (99, told.p99)] {
                let exact = micros[(micros.len() * percent).div_ceil(100) - 1];
                let told = u64::try_from(told.as_micros()).unwrap_or(u64::MAX);
                prop_assert!(told >= exact && told <= exact + exact / 4 + 1, "{told} for {exact}");
            }
        }
    }
}
