//! Where changes meet those who watch.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use tokio::sync::watch;

use super::{Event, Filter, Position};
use crate::error::StoreError;

/// Events that a group's ring keeps at least; a revision goes as a whole.
const RING: usize = 1_024;
/// Events that a watcher takes at once.
const TAKEN: usize = 64;
/// The most watchers of one process.
const WATCHERS: usize = 65_536;

/// All watchers of a view.
#[derive(Debug)]
pub(crate) struct Hub {
    groups: Mutex<Groups>,
    watchers: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Groups {
    by_filter: HashMap<Filter, Weak<Group>>,
    published: u64,
}

/// Watchers with the same filter.
#[derive(Debug)]
pub(super) struct Group {
    filter: Filter,
    ring: RwLock<Ring>,
    woken: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Every event of the group behind this revision is in the ring.
    complete_after: u64,
}

/// Counts a watcher for as long as it is there.
#[derive(Debug)]
pub(super) struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    pub(crate) fn new(revision: u64) -> Self {
        let groups = Groups { by_filter: HashMap::new(), published: revision };
        Self { groups: Mutex::new(groups), watchers: Arc::default() }
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Whether nobody watches, so that events need not be made.
    pub(crate) fn is_idle(&self) -> bool {
        self.watchers() == 0
    }

    /// The newest revision whose events are all in the rings.
    pub(super) fn published(&self) -> u64 {
        self.groups().published
    }

    pub(super) fn admit(&self) -> Result<Ticket, StoreError> {
        let ticket = Ticket(Arc::clone(&self.watchers));
        if self.watchers.fetch_add(1, Ordering::Relaxed) >= WATCHERS {
            return Err(StoreError::Unavailable(format!("{WATCHERS} watch already")));
        }
        Ok(ticket)
    }

    /// The group of a filter, and the revision that was published last.
    pub(super) fn join(&self, filter: &Filter) -> (Arc<Group>, u64) {
        let mut groups = self.groups();
        let published = groups.published;
        if let Some(group) = groups.by_filter.get(filter).and_then(Weak::upgrade) {
            return (group, published);
        }
        groups.by_filter.retain(|_, group| group.strong_count() > 0);
        let ring = Ring { events: VecDeque::new(), complete_after: published };
        let group = Arc::new(Group {
            filter: filter.clone(),
            ring: RwLock::new(ring),
            woken: watch::Sender::new(published),
        });
        groups.by_filter.insert(filter.clone(), Arc::downgrade(&group));
        (group, published)
    }

    /// Gives the events of a revision to the groups that they concern. Where the events are not
    /// known (`None`), everyone has to look at history.
    pub(crate) fn publish(&self, revision: u64, events: Option<&[Arc<Event>]>) {
        let mut groups = self.groups();
        for group in groups.by_filter.values().filter_map(Weak::upgrade) {
            match events {
                Some(events) => group.push(revision, events),
                None => group.forget(revision),
            }
        }
        groups.published = revision;
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    pub(super) fn woken(&self) -> watch::Receiver<u64> {
        self.woken.subscribe()
    }

    fn push(&self, revision: u64, events: &[Arc<Event>]) {
        let mut concerned = events
            .iter()
            .filter(|event| self.filter.matches(event) || self.filter.matched(event, false))
            .peekable();
        if concerned.peek().is_none() {
            return;
        }
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.events.extend(concerned.cloned());
        ring.trim(revision);
        drop(ring);
        self.woken.send_replace(revision);
    }

    fn forget(&self, revision: u64) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Ring { events: VecDeque::new(), complete_after: revision };
        drop(ring);
        self.woken.send_replace(revision);
    }

    /// Some events behind a position, in order; none (`None`) where the ring does not go back so far.
    pub(super) fn after(&self, position: Position) -> Option<VecDeque<Arc<Event>>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if position < Position::after(ring.complete_after) {
            return None;
        }
        let from = ring.events.partition_point(|event| event.position() <= position);
        Some(ring.events.range(from..).take(TAKEN).cloned().collect())
    }
}

impl Ring {
    /// Drops the oldest revisions beyond what is kept, and never the newest one.
    fn trim(&mut self, newest: u64) {
        while self.events.len() > RING {
            let Some(oldest) = self.events.front().map(|event| event.revision()) else { return };
            if oldest == newest {
                return;
            }
            while self.events.front().is_some_and(|event| event.revision() == oldest) {
                self.events.pop_front();
            }
            self.complete_after = oldest;
        }
    }
}
