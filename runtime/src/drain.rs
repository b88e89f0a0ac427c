//! Ending without losing work: everyone hears that the end has begun, and the end waits for all
//! who hold a guard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Starts the drain and waits for it; the process has one.
#[derive(Debug)]
pub struct DrainController {
    started: watch::Sender<bool>,
    handed_over: Arc<AtomicBool>,
    tracker: TaskTracker,
}

/// Tells a piece of the process that the end has begun, and lends guards that the end waits for.
#[derive(Clone, Debug)]
pub struct Drain {
    started: watch::Receiver<bool>,
    handed_over: Arc<AtomicBool>,
    tracker: TaskTracker,
}

/// How long the drain may take, where that has changed since the start. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct DrainMax(Arc<AtomicU64>);

impl DrainMax {
    /// It may take so long from now on; whole milliseconds, at least one.
    pub fn set(&self, max: Duration) {
        self.0.store(u64::try_from(max.as_millis()).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        Some(self.0.load(Relaxed)).filter(|millis| *millis > 0).map(Duration::from_millis)
    }
}

/// While it is held, the process does not end before its maximum.
#[derive(Debug)]
pub struct DrainGuard(#[allow(dead_code, reason = "held for its drop")] TaskTrackerToken);

impl DrainController {
    /// Makes a controller that has not started to drain.
    #[must_use]
    pub fn new() -> Self {
        Self { started: watch::Sender::new(false), handed_over: Arc::default(), tracker: TaskTracker::new() }
    }

    /// A handle for a piece of the process.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain {
            started: self.started.subscribe(),
            handed_over: Arc::clone(&self.handed_over),
            tracker: self.tracker.clone(),
        }
    }

    /// Tells everyone that the end has begun. Saying it twice is saying it once.
    pub fn start(&self) {
        self.tracker.close();
        self.started.send_replace(true);
    }

    /// Tells everyone that the end has begun because another process goes on in our place.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Relaxed);
        self.start();
    }

    /// Waits until every guard is gone or `max` has passed, and returns how many are left.
    pub async fn finished(&self, max: Duration) -> usize {
        let _timed_out = tokio::time::timeout(max, self.tracker.wait()).await;
        self.tracker.len()
    }
}

impl Default for DrainController {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Whether the end has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        // One load: it is asked for each request.
        self.tracker.is_closed()
    }

    /// Whether another process goes on in our place: what others know of us stays true, and is not taken back.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.load(Relaxed)
    }

    /// Returns once the end has begun, also where its controller is gone.
    pub async fn started(&self) {
        let mut started = self.started.clone();
        // An error means that the controller is gone, which is an end as well.
        let _gone = started.wait_for(|started| *started).await;
    }

    /// Holds the end back until the guard is dropped.
    #[must_use]
    pub fn guard(&self) -> DrainGuard {
        DrainGuard(self.tracker.token())
    }
}
