//! Which endpoint is called, and when one that failed is tried again. Sans-IO: time and chance are arguments.

use std::time::{Duration, Instant};

/// The first pause after a failure.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// The endpoints of one cluster and how they fared. All calls stay with one for as long as it answers.
#[derive(Clone, Debug)]
pub struct Endpoints {
    all: Vec<Standing>,
    current: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    failures: u32,
    back_at: Option<Instant>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Call the endpoint with this index.
    Call(usize),
    /// All of them failed lately: ask again at this time.
    Wait(Instant),
}

impl Endpoints {
    /// `count` endpoints, of which `first` (modulo `count`) is called first.
    ///
    /// # Panics
    /// Where `count` is 0.
    #[must_use]
    pub fn new(count: usize, first: usize) -> Self {
        Self { all: vec![Standing::default(); count], current: first % count }
    }

    /// The one in use, else the next one that did not fail lately.
    #[must_use]
    pub fn choose(&self, now: Instant) -> Choice {
        let count = self.all.len();
        let mut soonest = None;
        for index in (0..count).map(|step| (self.current + step) % count) {
            match self.all[index].back_at.filter(|back_at| *back_at > now) {
                None => return Choice::Call(index),
                Some(back_at) => {
                    soonest = Some(soonest.map_or(back_at, |soonest: Instant| soonest.min(back_at)));
                }
            }
        }
        Choice::Wait(soonest.unwrap_or(now))
    }

    /// An endpoint answered: calls stay with it.
    pub fn answered(&mut self, index: usize) {
        self.all[index] = Standing::default();
        self.current = index;
    }

    /// An endpoint failed: it is left alone for a while, longer each time, by chance between half and all of it, so
    /// that callers which failed together do not come back together.
    pub fn failed(&mut self, index: usize, now: Instant, random: u64) {
        let standing = &mut self.all[index];
        if standing.back_at.is_some_and(|back_at| back_at > now) {
            // Another call to it failed at the same time: that is one failure.
            return;
        }
        let longest = SHORTEST.saturating_mul(1 << standing.failures.min(16)).min(LONGEST);
        let half = longest / 2;
        let chance = u32::try_from(random % 1_024).unwrap_or_default();
        standing.back_at = Some(now + half + half * chance / 1_024);
        standing.failures = standing.failures.saturating_add(1);
        if self.current == index {
            self.current = (index + 1) % self.all.len();
        }
    }

    /// Whether every endpoint failed when it was called last.
    #[must_use]
    pub fn all_failed(&self) -> bool {
        self.all.iter().all(|one| one.failures > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calls_stay_with_an_endpoint_that_answers() {
        let now = Instant::now();
        let mut endpoints = Endpoints::new(3, 1);
        assert_eq!(endpoints.choose(now), Choice::Call(1));
        endpoints.failed(1, now, 0);
        assert_eq!(endpoints.choose(now), Choice::Call(2));
        endpoints.answered(2);
        assert_eq!(endpoints.choose(now + LONGEST), Choice::Call(2));
    }

    #[test]
    fn failures_at_the_same_time_are_one() {
        let now = Instant::now();
        let mut endpoints = Endpoints::new(1, 0);
        for _ in 0..100 {
            endpoints.failed(0, now, 1_023);
        }
        assert!(endpoints.choose(now + SHORTEST) == Choice::Call(0));
    }

    proptest! {
        #[test]
        fn nobody_waits_for_long_and_an_endpoint_that_works_is_found(
            seeds in proptest::collection::vec(any::<u64>(), 1..200), count in 1_usize..6, works in 0_usize..6,
        ) {
            let works = works % count;
            let mut now = Instant::now();
            let mut endpoints = Endpoints::new(count, 0);
            for seed in &seeds {
                match endpoints.choose(now) {
                    Choice::Call(index) => endpoints.failed(index, now, *seed),
                    Choice::Wait(until) => {
                        prop_assert!(until > now && until <= now + LONGEST, "a wait is bounded");
                        now = until;
                    }
                }
            }
            // From here on one of them answers: it is called before the longest pause is over.
            let began = now;
            loop {
                match endpoints.choose(now) {
                    Choice::Call(index) if index == works => break,
                    Choice::Call(index) => endpoints.failed(index, now, 7),
                    Choice::Wait(until) => now = until,
                }
                prop_assert!(now <= began + LONGEST, "it is never called");
            }
        }
    }
}
