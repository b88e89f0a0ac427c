//! Faults of a route's calls: what its configuration says, or what an operator ordered in its place for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use relay_core::Status;
use relay_core::fault::{Fault, Injected};

/// Orders for the faults of one route, and what was done.
#[derive(Default)]
pub(crate) struct Faults {
    /// Whether there ever was an order: calls look at no more where there was none.
    was_ordered: AtomicBool,
    order: ArcSwapOption<Order>,
    delayed: AtomicU64,
    aborted: AtomicU64,
}

/// What an operator ordered.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) fault: Fault,
    pub(crate) by: String,
    pub(crate) until: Timestamp,
    pub(crate) end: Instant,
}

impl Faults {
    /// An order, or none any more. Gives the one before.
    pub(crate) fn order(&self, order: Option<Order>) -> Option<Arc<Order>> {
        let before = self.order.swap(order.map(Arc::new));
        self.was_ordered.store(true, Relaxed);
        before
    }

    /// The order that counts at a time; one that has ended is forgotten.
    pub(crate) fn ordered(&self, now: impl FnOnce() -> Instant) -> Option<Arc<Order>> {
        if !self.was_ordered.load(Relaxed) {
            return None;
        }
        let order = self.order.load_full()?;
        if now() < order.end {
            return Some(order);
        }
        // Unless another one has taken its place.
        let seen = self.order.compare_and_swap(&order, None);
        if seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &order)) {
            tracing::info!(by = order.by, "an ordered fault has ended");
        }
        None
    }

    /// What becomes of a call; `None` where it is left alone.
    pub(super) fn inject(&self, configured: Option<&Fault>, roll: impl FnOnce() -> u64) -> Option<Injected> {
        let fault = match self.ordered(Instant::now) {
            Some(order) => order.fault,
            None => *configured?,
        };
        let injected = fault.draw(roll());
        self.delayed.fetch_add(u64::from(injected.delay.is_some()), Relaxed);
        self.aborted.fetch_add(u64::from(injected.abort.is_some()), Relaxed);
        injected.name().is_some().then_some(injected)
    }

    /// Calls that were delayed, and calls that were aborted.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.delayed.load(Relaxed), self.aborted.load(Relaxed))
    }
}

/// Has a call suffer what was drawn for it, which may last `most`; the time that this took.
///
/// # Errors
/// The failure that the call is aborted with, or `deadline-exceeded` where it waited for too long.
pub(crate) async fn suffer(
    injected: Injected,
    route: &str,
    most: Option<Duration>,
) -> Result<Duration, Status> {
    let hint = "`omnirelay fault list` shows what is done to calls, who ordered it and until when";
    if let Some(delay) = injected.delay {
        tokio::time::sleep(most.map_or(delay, |most| most.min(delay))).await;
        if let Some(most) = most.filter(|most| *most <= delay) {
            let late =
                format!("a fault on the route `{route}` delays the call by {delay:?}, and it has {most:?}");
            return Err(Status::deadline_exceeded(late).with_hint(hint));
        }
    }
    match injected.abort {
        Some(code) => {
            Err(Status::new(code, format!("a fault on the route `{route}` ended the call")).with_hint(hint))
        }
        None => Ok(injected.delay.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use relay_core::Code;
    use relay_core::fault::Abort;

    use super::*;

    fn abort(code: Code) -> Fault {
        Fault { delay: None, abort: Some(Abort { code, percent: 100 }) }
    }

    fn order(fault: Fault, end: Instant) -> Option<Order> {
        Some(Order { fault, by: "me".to_owned(), until: Timestamp::UNIX_EPOCH, end })
    }

    #[test]
    fn an_order_stands_above_the_configuration_until_its_end() {
        let (faults, now) = (Faults::default(), Instant::now());
        let configured = abort(Code::Internal);
        let done = |configured: Option<&Fault>| faults.inject(configured, || 0).and_then(|done| done.abort);
        assert_eq!((done(None), done(Some(&configured))), (None, Some(Code::Internal)));
        let hour = Duration::from_secs(3600);
        faults.order(order(abort(Code::Aborted), now + hour));
        assert_eq!((done(None), done(Some(&configured))), (Some(Code::Aborted), Some(Code::Aborted)));
        faults.order(order(Fault::default(), now + hour));
        assert_eq!(done(Some(&configured)), None);
        assert!(faults.ordered(|| now + hour).is_none(), "it has ended");
        assert!(faults.ordered(|| now).is_none(), "and is forgotten");
        assert_eq!(done(Some(&configured)), Some(Code::Internal));
        assert_eq!(faults.counts(), (0, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_takes_from_the_time_that_a_call_has() {
        let second = Duration::from_secs(1);
        let injected = Injected { delay: Some(second), abort: None };
        assert_eq!(suffer(injected, "r", None).await, Ok(second));
        assert_eq!(suffer(injected, "r", Some(2 * second)).await, Ok(second));
        let began = tokio::time::Instant::now();
        let late = suffer(injected, "r", Some(second / 2)).await.unwrap_err();
        assert_eq!((late.code, began.elapsed()), (Code::DeadlineExceeded, second / 2));
        let both = Injected { abort: Some(Code::Aborted), ..injected };
        assert_eq!(suffer(both, "r", None).await.unwrap_err().code, Code::Aborted);
    }
}
