//! Events: what is different from what was told last. A watcher that is slow misses what came between, and
//! never how it ended.

use std::collections::{BTreeMap, VecDeque};

use futures_util::{Stream, stream};
use meshkit_membership::Membership;
use relay_core::Status;
use tokio::sync::watch;

use crate::members::{Shown, all};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Snapshot,
    Changed,
    Forgotten,
}

/// One watcher's events.
struct Feed {
    membership: Membership,
    changes: watch::Receiver<u64>,
    told: BTreeMap<String, Shown>,
    waiting: VecDeque<(What, Shown)>,
}

/// The events as a stream that lasts as long as the membership; `write` makes one of each.
pub(crate) fn follow<T: Send + 'static>(
    membership: &Membership,
    write: fn(What, &Shown) -> T,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    let mut feed = Feed {
        membership: membership.clone(),
        changes: membership.changes(),
        told: BTreeMap::new(),
        waiting: VecDeque::new(),
    };
    feed.look(What::Snapshot);
    stream::unfold(feed, move |mut feed| async move {
        while feed.waiting.is_empty() {
            feed.changes.changed().await.ok()?;
            feed.look(What::Changed);
        }
        let (what, shown) = feed.waiting.pop_front()?;
        Some((Ok(write(what, &shown)), feed))
    })
}

impl Feed {
    fn look(&mut self, what: What) {
        self.changes.mark_unchanged();
        let now: BTreeMap<String, Shown> =
            all(&self.membership).iter().map(|shown| (shown.id.clone(), shown.clone())).collect();
        let changed = now.values().filter(|shown| self.told.get(&shown.id) != Some(*shown));
        self.waiting.extend(changed.map(|shown| (what, shown.clone())));
        let forgotten = self.told.values().filter(|shown| !now.contains_key(&shown.id));
        self.waiting.extend(forgotten.map(|shown| (What::Forgotten, shown.clone())));
        self.told = now;
    }
}
