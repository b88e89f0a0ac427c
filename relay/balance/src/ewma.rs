//! Peak EWMA: a moving average of latency that jumps up at once and comes down slowly, so that a
//! peer that turns slow is avoided before an average would notice (Finagle's `PeakEwma`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::moment::Moment;

/// How fast old latencies are forgotten: after so long 63 % of them.
const DECAY: Duration = Duration::from_secs(10);
/// What a peer is taken for while it owes its first answer. It is kept as a negative number: the
/// first answer takes its place.
const UNKNOWN: Duration = Duration::from_millis(30);

/// The latency in microseconds as an `f32` and the time of its last change in milliseconds (modulo
/// 49 days), in one word so that they are read and written together.
#[derive(Debug)]
pub(crate) struct PeakEwma(AtomicU64);

impl PeakEwma {
    pub(crate) fn new(now: Moment) -> Self {
        Self(AtomicU64::new(pack(-UNKNOWN.as_secs_f32() * 1e6, now)))
    }

    /// Takes the latency of a call that has ended.
    pub(crate) fn observe(&self, latency: Duration, now: Moment) {
        let sample = latency.as_secs_f32() * 1e6;
        // One that loses the race is one sample of many.
        let _raced = self.0.try_update(Relaxed, Relaxed, |state| {
            let (cost, keep) = decayed(state, now);
            let kept =
                if sample >= cost || cost.is_sign_negative() { sample } else { cost + sample * (1.0 - keep) };
            Some(pack(kept, now))
        });
    }

    /// Microseconds that a call is expected to take now, `pending` being in flight: none where
    /// nothing is known, so that a newcomer is asked once and is then waited for.
    pub(crate) fn cost(&self, pending: u32, now: Moment) -> f32 {
        let cost = decayed(self.0.load(Relaxed), now).0;
        if cost.is_sign_negative() && pending == 0 { 0.0 } else { cost.abs().max(1.0) }
    }
}

/// What is left of a latency, and which share of it that is.
fn decayed(state: u64, now: Moment) -> (f32, f32) {
    let cost = f32::from_bits(u32::try_from(state >> 32).unwrap_or(0));
    let then = u32::try_from(state & 0xffff_ffff).unwrap_or(0);
    let passed = millis(now).wrapping_sub(then);
    // What another thread wrote a moment later than our look at the clock.
    let passed = if passed > u32::MAX / 2 { 0 } else { passed };
    if passed == 0 {
        return (cost, 1.0);
    }
    #[allow(clippy::cast_precision_loss, reason = "precision is not the point of an average")]
    let keep = (-(passed as f32) / (DECAY.as_secs_f32() * 1e3)).exp();
    (cost * keep, keep)
}

fn pack(cost: f32, now: Moment) -> u64 {
    u64::from(cost.to_bits()) << 32 | u64::from(millis(now))
}

fn millis(now: Moment) -> u32 {
    u32::try_from((now.as_micros() / 1000) & 0xffff_ffff).unwrap_or(0)
}
