//! When a path that worked has fallen silent: something is on its way and nothing of it has been
//! acknowledged for a while.

use std::time::{Duration, Instant};

/// How often a connection in use is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// What a connection has sent and heard so far; the numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Frames sent that the peer has to acknowledge.
    pub(crate) sent: u64,
    /// Acknowledgements that came.
    pub(crate) acknowledged: u64,
}

/// Watches one connection. It has no clock: `now` is an argument.
///
/// A look that comes late counts as one [`TICK`] all the same: where this process was held up, the
/// answers may wait in the socket's buffer, and silence that nobody could hear is no silence.
#[derive(Clone, Debug)]
pub(crate) struct StallDetector {
    seen: Progress,
    looked: Instant,
    waiting: bool,
    silent: Duration,
}

impl StallDetector {
    pub(crate) fn new(now: Instant, progress: Progress) -> Self {
        Self { seen: progress, looked: now, waiting: false, silent: Duration::ZERO }
    }

    /// Takes a look and says for how long the peer has been silent while something was on its way.
    pub(crate) fn look(&mut self, now: Instant, progress: Progress) -> Duration {
        let passed = now.saturating_duration_since(self.looked).min(TICK);
        self.looked = now;
        if progress.acknowledged > self.seen.acknowledged {
            // What was sent in the same moment may be on its way still; if it is lost, it is sent
            // again within one probe time-out and then counts.
            self.waiting = false;
            self.silent = Duration::ZERO;
        } else if self.waiting {
            self.silent += passed;
        } else {
            self.waiting = progress.sent > self.seen.sent;
        }
        self.seen = progress;
        self.silent
    }
}

/// How much silence a path is granted, so that a call which meets it is on another path as soon as one that waits
/// for a first connection: silence is noticed up to two looks late, and up to one it began before. More where a
/// round trip is long.
pub(crate) fn patience(hedge_after: Duration, rtt: Duration) -> Duration {
    hedge_after.saturating_sub(3 * TICK).max(3 * rtt)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path as quinn drives it: what is not acknowledged is sent again after a probe time-out
    /// that doubles. Time goes in steps of one millisecond.
    struct Simulated {
        seed: u64,
        rtt: u64,
        loss: u64,
        blocked: bool,
        progress: Progress,
        in_flight: Vec<u64>,
        unacknowledged: bool,
        probe_at: u64,
        backoff: u64,
    }

    impl Simulated {
        fn new(seed: u64, rtt: u64, loss: u64) -> Self {
            let progress = Progress::default();
            let (in_flight, probe_at) = (Vec::new(), u64::MAX);
            Self {
                seed,
                rtt,
                loss,
                blocked: false,
                progress,
                in_flight,
                unacknowledged: false,
                probe_at,
                backoff: 1,
            }
        }

        /// A number below `below`, by xorshift.
        fn random(&mut self, below: u64) -> u64 {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            self.seed % below
        }

        fn send(&mut self, now: u64) {
            self.progress.sent += 1;
            self.unacknowledged = true;
            self.probe_at = now + (2 * self.rtt + 25) * self.backoff;
            if !self.blocked && self.random(100) >= self.loss && self.random(100) >= self.loss {
                self.in_flight.push(now + self.rtt);
            }
        }

        fn step(&mut self, now: u64) {
            let before = self.in_flight.len();
            let blocked = self.blocked;
            self.in_flight.retain(|at| *at > now || blocked);
            if self.in_flight.len() < before {
                self.progress.acknowledged += 1;
                (self.unacknowledged, self.backoff) = (false, 1);
            }
            if self.unacknowledged && now >= self.probe_at {
                self.backoff *= 2;
                self.send(now);
            }
        }
    }

    const HEDGE: Duration = Duration::from_millis(300);

    /// Runs a path under load and gives the time of the first stall, in milliseconds.
    fn first_stall(path: &mut Simulated, until: u64, block_at: u64) -> Option<u64> {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut detector = StallDetector::new(start, path.progress);
        let patience = patience(HEDGE, Duration::from_millis(path.rtt));
        let (mut next_call, mut next_look) = (0, 0);
        for now in 0..until {
            path.blocked = now >= block_at;
            path.step(now);
            if now >= next_call {
                path.send(now);
                next_call = now + 1 + path.random(40);
            }
            if now >= next_look {
                next_look = now + 20;
                if detector.look(at(now), path.progress) >= patience {
                    return Some(now);
                }
            }
        }
        None
    }

    #[test]
    fn lossy_paths_are_no_stalls_and_blocked_ones_are_found_in_time() {
        for seed in 1..=300 {
            for (rtt, loss) in [(1, 0), (1, 5), (20, 5), (80, 10), (250, 5)] {
                let mut path = Simulated::new(seed, rtt, loss);
                assert_eq!(first_stall(&mut path, 20_000, u64::MAX), None, "seed {seed} rtt {rtt}");
                let mut path = Simulated::new(seed, rtt, loss);
                let found = first_stall(&mut path, 10_000, 4_000);
                let latest = 4_000 + 240.max(3 * rtt) + 2 * 20 + 20.max(rtt);
                assert!(
                    found.is_some_and(|at| (4_100..=latest).contains(&at)),
                    "seed {seed} {rtt} {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_slow_answer_is_no_stall() {
        let start = Instant::now();
        let mut detector = StallDetector::new(start, Progress::default());
        for look in 1..100 {
            // One request, acknowledged soon; then the handler thinks.
            let progress = Progress { sent: 1, acknowledged: u64::from(look > 1) };
            assert!(detector.look(start + TICK * look, progress) < HEDGE, "look {look}");
        }
    }

    #[test]
    fn a_process_that_was_held_up_blames_nobody() {
        let start = Instant::now();
        let mut detector = StallDetector::new(start, Progress::default());
        let sent = Progress { sent: 1, acknowledged: 0 };
        detector.look(start + TICK, sent);
        assert_eq!(detector.look(start + Duration::from_secs(5), sent), TICK);
    }

    #[test]
    fn an_acknowledgement_ends_the_silence() {
        let start = Instant::now();
        let mut detector = StallDetector::new(start, Progress::default());
        for look in 1..20 {
            detector.look(start + TICK * look, Progress { sent: u64::from(look), acknowledged: 0 });
        }
        let heard = Progress { sent: 20, acknowledged: 1 };
        assert_eq!(detector.look(start + TICK * 20, heard), Duration::ZERO);
    }
}
