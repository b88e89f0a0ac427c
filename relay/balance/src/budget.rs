//! How many calls may be tried again: where everything fails, retries would only add to the load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::moment::Moment;

/// Seconds that calls count for.
const WINDOW: usize = 10;

/// Allows retries up to a share of the calls of the last ten seconds, and a floor beside it so that
/// an outbound with few calls can retry at all (as Finagle's and Linkerd's `RetryBudget`).
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    floor: u64,
    /// Each slot is a second and what was counted in it, in one word.
    calls: [AtomicU64; WINDOW],
    retries: [AtomicU64; WINDOW],
}

impl Budget {
    /// A budget of `percent` of the calls and of `floor` retries a second.
    #[must_use]
    pub fn new(percent: u32, floor: u32) -> Self {
        Self {
            percent: u64::from(percent),
            floor: u64::from(floor),
            calls: Default::default(),
            retries: Default::default(),
        }
    }

    /// Counts a call.
    pub fn call(&self, now: Moment) {
        add(&self.calls, second(now));
    }

    /// Takes a retry out of the budget; false where none is left.
    #[must_use]
    pub fn retry(&self, now: Moment) -> bool {
        let second = second(now);
        add(&self.retries, second);
        let allowed = self.floor * (WINDOW as u64) + sum(&self.calls, second) * self.percent / 100;
        if sum(&self.retries, second) <= allowed {
            return true;
        }
        take_back(&self.retries, second);
        false
    }
}

fn second(now: Moment) -> u64 {
    (now.as_micros() / 1_000_000) & 0xffff_ffff
}

fn slot(slots: &[AtomicU64; WINDOW], second: u64) -> Option<&AtomicU64> {
    slots.get(usize::try_from(second % (WINDOW as u64)).ok()?)
}

fn add(slots: &[AtomicU64; WINDOW], second: u64) {
    let Some(slot) = slot(slots, second) else { return };
    let _always = slot.try_update(Relaxed, Relaxed, |word| {
        let count = if word >> 32 == second { word & 0xffff_ffff } else { 0 };
        Some(second << 32 | (count + 1).min(0xffff_ffff))
    });
}

fn take_back(slots: &[AtomicU64; WINDOW], second: u64) {
    let Some(slot) = slot(slots, second) else { return };
    let _gone_already = slot.try_update(Relaxed, Relaxed, |word| {
        (word >> 32 == second && word & 0xffff_ffff > 0).then(|| word - 1)
    });
}

/// What was counted in the window that ends with `second`.
fn sum(slots: &[AtomicU64; WINDOW], second: u64) -> u64 {
    let counted = slots.iter().map(|slot| {
        let word = slot.load(Relaxed);
        let age = second.wrapping_sub(word >> 32);
        if age < WINDOW as u64 { word & 0xffff_ffff } else { 0 }
    });
    counted.sum()
}
