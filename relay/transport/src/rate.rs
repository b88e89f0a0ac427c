//! How often something happens, without a clock of its own.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Counts events of the current second and of the one before, weighted: a sliding second to
/// within a few per cent, in constant space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    began: Instant,
    now: u32,
    before: u32,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, now: 0, before: 0 }
    }

    /// Counts one event at `now`; whether more than `max` happened in the second before.
    pub(crate) fn exceeds(&mut self, max: u32, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed >= 2 * SECOND {
            *self = Self::new(now);
        } else if elapsed >= SECOND {
            *self = Self { began: self.began + SECOND, now: 0, before: self.now };
        }
        self.now = self.now.saturating_add(1);
        let left = SECOND.saturating_sub(now.saturating_duration_since(self.began));
        let weighted = u64::from(self.before) * u64::try_from(left.as_millis()).unwrap_or(1000) / 1000;
        weighted + u64::from(self.now) > u64::from(max)
    }
}

/// A rate that several tasks count in.
#[derive(Debug)]
pub(crate) struct SharedRate {
    rate: Mutex<Rate>,
    max: u32,
}

impl SharedRate {
    pub(crate) fn new(max: u32) -> Self {
        Self { rate: Mutex::new(Rate::new(Instant::now())), max }
    }

    /// Counts one event; whether that is one too many.
    pub(crate) fn exceeded(&self) -> bool {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.exceeds(self.max, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_one_second_and_then_forgotten() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert!((0..10).all(|_| !rate.exceeds(10, start)));
        assert!(rate.exceeds(10, start));
        assert!(rate.exceeds(10, start + SECOND), "a second that has just ended still weighs");
        assert!(!rate.exceeds(10, start + 4 * SECOND));
    }

    proptest! {
        /// Whatever the pattern: less than half of the bound in every second never exceeds it, and
        /// twice the bound within a second always does.
        #[test]
        fn the_bound_holds_within_a_factor_of_two(
            max in 2_u32..200,
            gaps in proptest::collection::vec(0_u64..50, 1..400),
        ) {
            let start = Instant::now();
            let mut rate = Rate::new(start);
            let (mut at, mut seen) = (start, Vec::new());
            for gap in gaps {
                at += Duration::from_millis(gap);
                seen.push(at);
                let recent = |span: Duration| {
                    seen.iter().filter(|one| at.saturating_duration_since(**one) < span).count()
                };
                let exceeded = rate.exceeds(max, at);
                if recent(2 * SECOND) <= max as usize {
                    prop_assert!(!exceeded);
                }
                if recent(SECOND) > 2 * max as usize {
                    prop_assert!(exceeded);
                }
            }
        }
    }
}
