//! What a piece of work costs in processor time.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A stopwatch for the processor time of this process, all threads together, and for the wall.
pub(crate) struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { cpu: process_time(), wall: Instant::now() }
    }

    /// Processor time and wall time since the start.
    pub(crate) fn read(&self) -> (Duration, Duration) {
        (process_time().saturating_sub(self.cpu), self.wall.elapsed())
    }
}

/// Processor time of this process so far.
pub(crate) fn process_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let (secs, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(secs.unwrap_or_default(), nanos.unwrap_or_default())
}
