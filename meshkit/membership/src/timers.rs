//! The timers that foca sets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use foca::Timer;

use crate::member::Word;

/// Timers by the time that they are due.
#[derive(Default)]
pub(crate) struct Timers {
    due: BinaryHeap<Reverse<Due>>,
    sequence: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Duration, timer: Timer<Word>) {
        self.sequence += 1;
        self.due.push(Reverse(Due { at, timer, sequence: self.sequence }));
    }

    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    /// The next one that is due by now.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Timer<Word>> {
        self.next_at().filter(|at| *at <= now)?;
        self.due.pop().map(|Reverse(due)| due.timer)
    }
}

/// A timer of foca's: in the order of time, then of foca's own order, then of setting.
struct Due {
    at: Duration,
    timer: Timer<Word>,
    sequence: u64,
}

impl Due {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, &self.timer, self.sequence).cmp(&(other.at, &other.timer, other.sequence))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order(other)
    }
}
