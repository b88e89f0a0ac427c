//! Events of leaderships: of the store's changes, and of time that passes without one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::{Stream, stream};
use meshkit_api::store_status;
use meshkit_leadership::Told as Local;
use meshkit_model::{Kind, LeaderChange, LeaderScope, Lease};
use meshkit_store::{Filter, Told, Watch};
use relay_core::Status;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::leaders::{Leaders, Shown};

/// One event of a watch.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) what: What,
    /// The store revision that it belongs to.
    pub(crate) revision: u64,
    /// Where a later watch goes on; empty where it would miss something.
    pub(crate) token: String,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Snapshot(Shown),
    Change(Change),
    Bookmark,
    ResyncRequired(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) change: LeaderChange,
    pub(crate) scope: LeaderScope,
    pub(crate) holder: String,
    pub(crate) fence: u64,
    /// The lease as it became; none where time alone ended it.
    pub(crate) lease: Option<Shown>,
}

/// One watcher's events.
pub(crate) struct Feed {
    watch: Watch,
    local: broadcast::Receiver<Local>,
    scope: Option<LeaderScope>,
    waiting: VecDeque<Item>,
    /// By scope the last fence whose end was told; as many as there are scopes.
    ended: HashMap<LeaderScope, u64>,
    /// What the snapshot showed already.
    shown_to: u64,
}

impl Leaders {
    /// Follows one scope or all: with a snapshot, or where another watch stood.
    pub(crate) fn follow(&self, scope: Option<LeaderScope>, token: &str) -> Result<Feed, Status> {
        let filter = Filter::of([Kind::Lease]);
        let filter = match &scope {
            Some(scope) => filter.prefix(scope.as_str()),
            None => filter,
        };
        // First the watch and the events of this node, then the snapshot: nothing falls between.
        let local = self.leadership.subscribe();
        let watch = self.gate.watch(filter, 0, token)?;
        let (mut waiting, mut shown_to) = (VecDeque::new(), 0);
        if token.is_empty() {
            let (leases, revision) = {
                let tables = self.view.read();
                let wanted = |lease: &&Lease| scope.as_ref().is_none_or(|scope| lease.scope == *scope);
                let leases: Vec<Lease> = tables.leases().after(None).filter(wanted).cloned().collect();
                (leases, tables.revision())
            };
            let items = leases.into_iter().map(|lease| Item {
                what: What::Snapshot(self.show(lease)),
                revision,
                token: String::new(),
            });
            waiting.extend(items);
            if let Some(last) = waiting.back_mut() {
                last.token = watch.token();
            }
            shown_to = revision;
        }
        Ok(Feed { watch, local, scope, waiting, ended: HashMap::new(), shown_to })
    }
}

impl Feed {
    /// The events as a stream that ends behind the first error; `write` makes one of each.
    pub(crate) fn stream<T: Send + 'static>(
        self,
        leaders: Arc<Leaders>,
        write: fn(Item) -> T,
    ) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
        stream::unfold(Some((self, leaders)), move |state| async move {
            let (mut feed, leaders) = state?;
            match feed.next(&leaders).await.transpose()? {
                Ok(item) => Some((Ok(write(item)), Some((feed, leaders)))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self, leaders: &Leaders) -> Result<Option<Item>, Status> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(Some(item));
            }
            let before = self.watch.token();
            tokio::select! {
                told = self.watch.next() => match told.map_err(|error| store_status(&error))? {
                    Some(told) => self.take(leaders, told, before),
                    None => return Ok(None),
                },
                local = self.local.recv() => match local {
                    Ok(local) => self.take_local(&local, before),
                    // The store's own events are all there; these only tell of time.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(None),
                },
            }
        }
    }

    fn take(&mut self, leaders: &Leaders, told: Told, before: String) {
        let token = self.watch.token();
        match told {
            Told::Event { event, .. } => {
                let Some(lease) = event.record::<Lease>() else { return };
                let is_other = self.scope.as_ref().is_some_and(|scope| lease.scope != *scope);
                if !is_other && event.revision() > self.shown_to {
                    self.tell(leaders, lease, event.revision(), before, token);
                }
            }
            Told::Bookmark(position) => {
                self.waiting.push_back(Item { what: What::Bookmark, revision: position.revision, token });
            }
            Told::ResyncRequired { why } => {
                self.waiting.push_back(Item { what: What::ResyncRequired(why), revision: 0, token });
            }
        }
    }

    /// What a change of a lease comes to: the end of the leadership before it, where nobody told of
    /// that yet, and the change.
    fn tell(&mut self, leaders: &Leaders, lease: Lease, revision: u64, before: String, token: String) {
        let scope = lease.scope.clone();
        let ended = lease.fence.saturating_sub(1);
        let told = self.ended.insert(scope.clone(), ended).unwrap_or(0);
        let previous = lease.previous.clone();
        if lease.change == LeaderChange::Elected
            && let Some(term) = previous.as_ref().filter(|term| term.fence == ended && term.fence > told)
        {
            let change = Change {
                change: term.ended,
                scope: scope.clone(),
                holder: term.holder.to_string(),
                fence: term.fence,
                lease: None,
            };
            self.waiting.push_back(Item { what: What::Change(change), revision, token: before });
        }
        let (holder, fence) = match (&lease.holder, &previous) {
            (Some(holder), _) => (holder.to_string(), lease.fence),
            (None, Some(term)) => (term.holder.to_string(), term.fence),
            (None, None) => (String::new(), lease.fence),
        };
        let change = lease.change;
        let lease = Some(leaders.show(lease));
        let change = Change { change, scope, holder, fence, lease };
        self.waiting.push_back(Item { what: What::Change(change), revision, token });
    }

    /// What time alone did, as this node sees it.
    fn take_local(&mut self, local: &Local, token: String) {
        let (scope, event) = (&local.scope, &local.event);
        let by_time = matches!(event.change, LeaderChange::Expired | LeaderChange::Lost);
        let is_other = self.scope.as_ref().is_some_and(|wanted| wanted != scope);
        let told = self.ended.get(scope).copied().unwrap_or(0);
        if !by_time || is_other || event.fence <= told {
            return;
        }
        self.ended.insert(scope.clone(), event.fence);
        let change = Change {
            change: event.change,
            scope: scope.clone(),
            holder: event.holder.to_string(),
            fence: event.fence,
            lease: None,
        };
        let revision = self.watch.position().revision;
        self.waiting.push_back(Item { what: What::Change(change), revision, token });
    }
}
