//! What is remembered of a path that did not work, so that not every call has to find out again.

use std::time::{Duration, Instant};

use relay_core::DowngradeReason;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The failures of one path since its last success. It has no clock: `now` is an argument.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathMemory {
    failures: u32,
    broken: Option<(Instant, DowngradeReason)>,
}

impl PathMemory {
    /// Whether the path is left alone for now.
    pub(crate) fn is_broken(&self, now: Instant) -> bool {
        self.broken.is_some_and(|(until, _)| now < until)
    }

    /// Why the path failed last, where it has not worked since.
    pub(crate) fn reason(&self) -> Option<DowngradeReason> {
        self.broken.map(|(_, reason)| reason)
    }

    /// The path failed: it is left alone for 1 s, and for twice as long each further time, up to 60 s.
    pub(crate) fn failed(&mut self, now: Instant, reason: DowngradeReason) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.broken = Some((now + pause, reason));
    }

    /// The path works.
    pub(crate) fn worked(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_end_with_a_success() {
        let start = Instant::now();
        let mut memory = PathMemory::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            memory.failed(start, DowngradeReason::NoQuicReply);
            let pause = (0..=61).find(|secs| !memory.is_broken(start + Duration::from_secs(*secs)));
            pauses.push(pause.unwrap_or(u64::MAX));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(memory.reason(), Some(DowngradeReason::NoQuicReply));
        memory.worked();
        assert!(!memory.is_broken(start));
        assert_eq!(memory.reason(), None);
    }
}
