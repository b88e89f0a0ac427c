//! The history of downgrades: bounded, numbered, watchable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use relay_core::observe::DowngradeEvent;
use relay_core::{Code, Status};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How many events are kept; older ones are forgotten, the counters are not.
pub(crate) const KEPT: usize = 1024;
/// How many may watch at once.
const WATCHERS: usize = 64;
/// How many events a watcher is given at once.
const BATCH: usize = 64;

/// A process's history of downgrades.
#[derive(Debug)]
pub(crate) struct Events {
    /// Tells the numbers of this process from those of its predecessors.
    incarnation: String,
    ring: Mutex<Ring>,
    next: watch::Sender<u64>,
    watchers: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the next event.
    next: u64,
    kept: VecDeque<Arc<DowngradeEvent>>,
}

/// What a reader is given next.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// How many events are gone that the reader has not seen; none where nobody can know.
    pub(crate) missed: Option<u64>,
    pub(crate) events: Vec<Arc<DowngradeEvent>>,
    /// Where to go on.
    pub(crate) next: u64,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this number.
    At(u64),
    /// At the oldest; what came before it is not known to the reader.
    Unknown,
}

impl Events {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self {
            incarnation: format!("{:x}", started.as_millisecond()),
            ring: Mutex::default(),
            next: watch::Sender::new(0),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
        }
    }

    /// Adds an event, which is given its id.
    pub(crate) fn push(&self, mut event: DowngradeEvent) {
        let next = {
            let mut ring = self.ring();
            event.id = format!("{}-{}", self.incarnation, ring.next);
            if ring.kept.len() == KEPT {
                ring.kept.pop_front();
            }
            ring.kept.push_back(Arc::new(event));
            ring.next += 1;
            ring.next
        };
        // Two that push at once may tell in either order; the greater number stands.
        self.next.send_if_modified(|known| {
            let is_later = next > *known;
            *known = next.max(*known);
            is_later
        });
    }

    /// The latest events, oldest first.
    pub(crate) fn latest(&self, limit: usize) -> Vec<Arc<DowngradeEvent>> {
        let ring = self.ring();
        ring.kept.iter().skip(ring.kept.len().saturating_sub(limit)).cloned().collect()
    }

    /// Where a reader begins who wants the latest `limit` events.
    pub(crate) fn start_of_latest(&self, limit: usize) -> Start {
        let ring = self.ring();
        let kept = ring.kept.len().min(limit);
        Start::At(ring.next.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX)))
    }

    /// Where a reader goes on who has seen an event.
    pub(crate) fn start_after(&self, id: &str) -> Start {
        let number = id.rsplit_once('-').filter(|(incarnation, _)| *incarnation == self.incarnation);
        match number.and_then(|(_, number)| number.parse::<u64>().ok()) {
            Some(number) if number < self.ring().next => Start::At(number + 1),
            _ => Start::Unknown,
        }
    }

    /// What follows.
    pub(crate) fn after(&self, start: Start) -> Batch {
        let ring = self.ring();
        let kept = u64::try_from(ring.kept.len()).unwrap_or(u64::MAX);
        let oldest = ring.next - kept;
        let (from, missed) = match start {
            Start::At(number) => (number.max(oldest), Some(oldest.saturating_sub(number))),
            Start::Unknown => (oldest, None),
        };
        let skipped = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let events: Vec<_> = ring.kept.iter().skip(skipped).take(BATCH).cloned().collect();
        let next = from + u64::try_from(events.len()).unwrap_or_default();
        Batch { missed, events, next }
    }

    /// Tells whenever there is more.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// A place among those who watch.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.watchers).try_acquire_owned().map_err(|_full| {
            Status::new(Code::ResourceExhausted, format!("{WATCHERS} are watching already"))
                .with_hint("end a watch that nobody reads, or read without watching")
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
