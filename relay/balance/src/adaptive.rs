//! How many calls may be in flight, learned from how long they take.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::moment::Moment;

/// The least time that is learned from at once, in microseconds.
const WINDOW: u64 = 100_000;
/// Calls without which a window says nothing: it goes on until there are as many.
const MIN_CALLS: u64 = 10;
/// Windows of an epoch: in its last two the latency without a queue is measured anew.
const EPOCH: u64 = 100;
/// The last window that is learned from. At its end the bound falls where there is a queue.
const LAST: u64 = EPOCH - 3;
/// The window in which the queue empties.
const EMPTYING: u64 = EPOCH - 2;
/// The window whose latency is that without a queue.
const MEASURING: u64 = EPOCH - 1;
/// Windows before the first measurement.
const FIRST: u64 = 10;

/// Bounds of what is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveRules {
    /// The least calls in flight, 1 or more.
    pub min: u32,
    /// The most calls in flight, `min` or more.
    pub max: u32,
    /// By how much longer than without a queue calls may take, in percent.
    pub tolerance_percent: u32,
}

/// A bound of calls in flight that follows their latency: while calls take no longer than what is tolerated it
/// grows, by its square root in each window in which it was needed; above that it shrinks by as much as they take
/// too long (a gradient controller, as Netflix's `Gradient2Limit` and Envoy's `adaptive_concurrency`). Where a tenth of the calls
/// fail in a way that tells of overload, it loses a tenth (AIMD). The latency without a queue is measured once in an
/// epoch: for two windows the bound is what the peers have in service, so that their queue empties (as BBR's
/// `PROBE_RTT`).
#[derive(Debug)]
pub struct AdaptiveLimit {
    rules: AdaptiveRules,
    /// What counts now.
    limit: AtomicU32,
    /// What was learned; it counts again after a measurement.
    learned: AtomicU32,
    /// Microseconds without a queue; 0 before that is known.
    base: AtomicU64,
    windows: AtomicU64,
    /// When the window ends, in microseconds.
    end: AtomicU64,
    window: Window,
}

/// What was seen in a window.
#[derive(Debug, Default)]
struct Window {
    calls: AtomicU64,
    overloads: AtomicU64,
    /// The sum of the latencies in microseconds.
    took: AtomicU64,
    /// The most calls that were in flight.
    busiest: AtomicU32,
}

/// What a window came to.
#[derive(Clone, Copy)]
struct Seen {
    average: u64,
    is_overload: bool,
    busiest: u32,
}

impl AdaptiveLimit {
    /// Begins in the middle: at the square root of its bounds' product.
    #[must_use]
    pub fn new(rules: AdaptiveRules) -> Self {
        let middle = (u64::from(rules.min) * u64::from(rules.max)).isqrt();
        let middle = rules.bound(middle);
        Self {
            rules,
            limit: AtomicU32::new(middle),
            learned: AtomicU32::new(middle),
            base: AtomicU64::new(0),
            windows: AtomicU64::new(LAST - FIRST),
            end: AtomicU64::new(0),
            window: Window::default(),
        }
    }

    /// The most calls in flight for now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// A call had its answer after `took`, or failed in a way that tells of overload, while `pending` were in
    /// flight.
    pub fn ended(&self, took: Duration, is_overload: bool, pending: u32, now: Moment) {
        let calls = self.window.calls.fetch_add(1, Relaxed) + 1;
        self.window.took.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.window.overloads.fetch_add(u64::from(is_overload), Relaxed);
        self.window.busiest.fetch_max(pending, Relaxed);
        let (now, end) = (now.as_micros(), self.end.load(Relaxed));
        // Whoever moves the end learns; what others count meanwhile is the next window's.
        if now >= end
            && calls >= MIN_CALLS
            && self.end.compare_exchange(end, u64::MAX, Relaxed, Relaxed).is_ok()
        {
            let seen = self.window.take();
            self.learn(seen);
            // What was decided shows in calls that begin after it.
            self.end.store(now + WINDOW.max(2 * seen.average), Relaxed);
        }
    }

    /// A call's caller waited for its answer no longer than `took`. That says something where calls take less
    /// otherwise; how short a time callers choose says nothing.
    pub fn cut_off(&self, took: Duration, pending: u32, now: Moment) {
        let base = self.base.load(Relaxed);
        if base > 0 && took > Duration::from_micros(base) {
            self.ended(took, false, pending, now);
        }
    }

    fn learn(&self, seen: Seen) {
        let window = self.windows.fetch_add(1, Relaxed) % EPOCH;
        let (base, learned) = (self.base.load(Relaxed), self.learned.load(Relaxed));
        if window == EMPTYING {
            return;
        }
        if window == MEASURING {
            // Where nothing had to empty, a latency that jumps now is a queue that begins.
            let emptied = self.limit.swap(learned, Relaxed) < learned || learned <= self.rules.min;
            let base = if emptied { seen.average } else { seen.average.min(base + base / 10) };
            self.base.store(base, Relaxed);
            return;
        }
        let base = if base == 0 { seen.average } else { base.min(seen.average) };
        self.base.store(base, Relaxed);
        let learned = self.rules.next(learned, base, seen);
        self.learned.store(learned, Relaxed);
        let is_queueing = seen.average > base + base / 10;
        let limit = match window {
            LAST if is_queueing => self.rules.bound(u64::from(learned) * base / seen.average * 9 / 10),
            _ => learned,
        };
        self.limit.store(limit, Relaxed);
    }
}

impl AdaptiveRules {
    fn bound(self, limit: u64) -> u32 {
        u32::try_from(limit).unwrap_or(u32::MAX).clamp(self.min, self.max.max(self.min))
    }

    /// What follows from a window.
    fn next(self, limit: u32, base: u64, seen: Seen) -> u32 {
        let limit = u64::from(limit);
        if seen.is_overload {
            return self.bound(limit - limit.div_ceil(10));
        }
        let tolerated = base.saturating_mul(100 + u64::from(self.tolerance_percent));
        // In percent; a window halves it at most.
        let gradient = (tolerated / seen.average).clamp(50, 100);
        if gradient == 100 && u64::from(seen.busiest) < limit / 2 {
            // Nobody needs more, and nothing is known of more.
            return self.bound(limit);
        }
        let kept = limit * gradient / 100;
        self.bound(kept + kept.isqrt().max(1))
    }
}

impl Window {
    fn take(&self) -> Seen {
        let calls = self.calls.swap(0, Relaxed).max(1);
        Seen {
            average: (self.took.swap(0, Relaxed) / calls).max(1),
            is_overload: self.overloads.swap(0, Relaxed) * 10 >= calls,
            busiest: self.busiest.swap(0, Relaxed),
        }
    }
}
