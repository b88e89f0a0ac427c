//! When an issuer's keys are read anew: pure decisions, `now` is an argument.

use std::time::{Duration, Instant};

/// Reads that unknown keys may bring about at once, and the time after which there may be one more.
const BURST: u32 = 2;
const REFILL: Duration = Duration::from_secs(10);
/// The first pause after a failure, which doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When an issuer's keys are read anew: at an interval, sooner after a failure, and at once where a token names a key
/// that nobody has seen, at a bounded rate: whoever makes names up must not make us ask the issuer each time.
#[derive(Clone, Debug)]
pub struct Refresh {
    interval: Duration,
    due: Instant,
    running: bool,
    failures: u32,
    left: u32,
    since: Instant,
}

/// What comes of asking for newer keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Read them now.
    Start,
    /// They are being read: wait for that.
    Running,
    /// They were read too often of late.
    TooOften,
}

impl Refresh {
    /// Due at once, as somebody who has no keys yet.
    #[must_use]
    pub const fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, due: now, running: true, failures: 0, left: BURST, since: now }
    }

    /// When the keys are to be read by themselves.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// They are being read from now on.
    pub const fn begin(&mut self) {
        self.running = true;
    }

    /// They were read, or could not be.
    pub fn end(&mut self, now: Instant, is_success: bool) {
        self.running = false;
        self.failures = if is_success { 0 } else { self.failures.saturating_add(1) };
        let pause = match self.failures.checked_sub(1) {
            None => self.interval,
            Some(before) => PAUSE.saturating_mul(1 << before.min(16)).min(LONGEST_PAUSE).min(self.interval),
        };
        self.due = now + pause;
    }

    /// A token names a key that is not among those that we have.
    pub fn ask(&mut self, now: Instant) -> Asked {
        if self.running {
            return Asked::Running;
        }
        let periods = now.saturating_duration_since(self.since).as_secs() / REFILL.as_secs();
        if periods > 0 {
            let more = u32::try_from(periods).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(BURST);
            self.since = now;
        }
        if self.left == 0 {
            return Asked::TooOften;
        }
        self.left -= 1;
        self.running = true;
        Asked::Start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_unknown_keys_reads_twice_and_then_once_in_ten_seconds() {
        let start = Instant::now();
        let mut refresh = Refresh::new(Duration::from_secs(300), start);
        assert_eq!(refresh.ask(start), Asked::Running, "the first read is under way");
        refresh.end(start, true);
        let mut reads = 0;
        for tenth in 0..1_000 {
            let now = start + Duration::from_millis(100 * tenth);
            if refresh.ask(now) == Asked::Start {
                reads += 1;
                assert_eq!(refresh.ask(now), Asked::Running);
                refresh.end(now, true);
            }
        }
        assert_eq!(reads, 2 + 9, "100 seconds");
    }

    #[test]
    fn a_failure_is_tried_again_soon_and_then_less_often() {
        let now = Instant::now();
        let mut refresh = Refresh::new(Duration::from_secs(300), now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            refresh.end(now, false);
            pauses.push((refresh.due() - now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        refresh.end(now, true);
        assert_eq!(refresh.due() - now, Duration::from_secs(300));
        let mut often = Refresh::new(Duration::from_millis(100), now);
        often.end(now, false);
        assert_eq!(often.due() - now, Duration::from_millis(100), "never less often than without a failure");
    }
}
