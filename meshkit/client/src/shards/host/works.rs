//! The host's tasks: following the records, reporting, and calling the service in order.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use tokio::sync::{RwLock as Turn, mpsc};

use super::super::core::{Action, HostCore, Place};
use super::super::owner::ShardOwner;
use super::{Open, ShardHost};
use crate::error::MeshError;

/// How long to wait before the control plane is called again after it failed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long news is gathered before it is reported: what is quickly done is said once, in the end.
const GATHER: Duration = Duration::from_millis(5);
/// Words and loads of one report.
const MAX_REPORTED: usize = 1_000;

type Queues = Arc<Mutex<HashMap<u32, mpsc::UnboundedSender<Action>>>>;

/// The host's tasks.
pub(super) struct Works<O> {
    host: ShardHost,
    owner: Arc<O>,
    /// What is to be done about each shard, in order.
    queues: Queues,
}

impl<O> Clone for Works<O> {
    fn clone(&self) -> Self {
        Self { host: self.host.clone(), owner: Arc::clone(&self.owner), queues: Arc::clone(&self.queues) }
    }
}

impl<O: ShardOwner> Works<O> {
    pub(super) fn new(host: ShardHost, owner: Arc<O>) -> Self {
        Self { host, owner, queues: Arc::default() }
    }

    /// Changes the core, and does what follows from it.
    fn with_core(&self, change: impl FnOnce(&mut HostCore, Duration)) {
        let inner = &self.host.0;
        let (actions, has_news) = {
            let mut core = inner.core();
            let before = core.words();
            change(&mut core, inner.now());
            let until = core.lease_until().map_or(0, |until| u64::try_from(until.as_millis()).unwrap_or(0));
            inner.lease_until.store(until, Ordering::Release);
            let words = core.words();
            (core.actions(), !words.is_empty() && words != before)
        };
        for action in actions {
            self.dispatch(action);
        }
        if has_news {
            inner.news.notify_one();
        }
        inner.turn();
    }

    fn dispatch(&self, action: Action) {
        let place = match &action {
            Action::Warm(place) | Action::Serve(place, _) | Action::Drain(place, _) | Action::Drop(place) => {
                place.clone()
            }
        };
        if matches!(action, Action::Drop(_)) {
            // Calls stop at once, whatever else is still to be done.
            let _closed = self.host.0.close(place.shard);
        }
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(place.shard).or_insert_with(|| {
            let (queue, actions) = mpsc::unbounded_channel();
            let works = self.clone();
            omnirelay_runtime::spawn("shard-owner", async move { works.act(place, actions).await });
            queue
        });
        let _host_is_gone = queue.send(action);
    }

    /// Does what is to be done about one shard until nothing is left of it.
    async fn act(self, place: Place, mut actions: mpsc::UnboundedReceiver<Action>) {
        while let Some(action) = actions.recv().await {
            match action {
                Action::Warm(_) => {
                    self.owner.warm(&place).await;
                    self.with_core(|core, now| core.warmed(&place, now));
                }
                Action::Serve(_, fence) => {
                    self.owner.acquire(&place, fence).await;
                    self.open(&place, fence);
                }
                Action::Drain(_, fence) => {
                    if let Some(open) = self.host.0.close(place.shard) {
                        let _all_calls_ended = open.calls.write().await;
                    }
                    let successor = self.host.0.core().elsewhere(&place).to_owned();
                    self.owner.drain(&place, fence, &successor).await;
                    self.with_core(|core, _| core.drained(&place));
                }
                Action::Drop(_) => {
                    self.owner.release(&place).await;
                    let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
                    if actions.is_empty() {
                        queues.remove(&place.shard);
                        return;
                    }
                }
            }
        }
    }

    /// Lets calls in, unless the shard was lost meanwhile.
    fn open(&self, place: &Place, fence: u64) {
        let inner = &self.host.0;
        let core = inner.core();
        if core.serves(place, inner.now()) == Some(fence) {
            let open = Open { fence, is_open: AtomicBool::new(true), calls: Arc::new(Turn::new(())) };
            let mut all = inner.open.write().unwrap_or_else(PoisonError::into_inner);
            all.insert(place.shard, Arc::new(open));
        }
        drop(core);
        inner.turn();
    }

    /// Follows the records for as long as the host lives.
    pub(super) async fn follow(&self) {
        let mut token = String::new();
        loop {
            if let Err(error) = self.watch(&mut token).await {
                tracing::debug!(%error, "the shard host goes on where it was");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn watch(&self, token: &mut String) -> Result<(), MeshError> {
        let inner = &self.host.0;
        let mut messages = inner.client.watch_shards(&inner.namespace, token).await?;
        let mut snapshot = Vec::new();
        while let Some(mut message) = messages.next().await? {
            if let Err(error) = inner.map.apply(&message) {
                tracing::debug!(%error, "the shard host begins anew");
                token.clear();
                return Ok(());
            }
            snapshot.append(&mut message.snapshot);
            if message.complete.is_some() {
                self.replace(&std::mem::take(&mut snapshot));
            }
            if let Some(event) = message.event {
                self.hear(&event, message.shard.as_ref());
                *token = event.resume_token;
            }
        }
        Ok(())
    }

    fn replace(&self, shards: &[v1::Shard]) {
        self.with_core(|core, now| {
            let there: HashSet<u32> = shards.iter().map(|shard| shard.id).collect();
            for place in core.known().iter().filter(|place| !there.contains(&place.shard)) {
                core.forget(place);
            }
            shards.iter().for_each(|shard| core.observe(shard, now));
        });
    }

    fn hear(&self, event: &v1::WatchEvent, shard: Option<&v1::Shard>) {
        let deleted = event.r#type() == v1::WatchEventType::Deleted;
        let gone = event.key.rsplit_once('/').and_then(|(_, id)| id.parse().ok()).filter(|_| deleted);
        self.with_core(|core, now| {
            if let Some(shard) = gone {
                core.forget(&self.host.0.place(shard));
            }
            if let Some(shard) = shard {
                core.observe(shard, now);
            }
        });
    }

    /// Renews the lease and says what there is to say, for as long as the host lives.
    pub(super) async fn report(&self) {
        loop {
            match self.report_once().await {
                Ok(interval) => {
                    if tokio::time::timeout(interval, self.host.0.news.notified()).await.is_ok() {
                        tokio::time::sleep(GATHER).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a report of owned shards failed; trying again");
                    if error.code == relay_core::Code::DeadlineExceeded {
                        // Whoever was at the other end is gone.
                        self.host.0.client.close().await;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn report_once(&self) -> Result<Duration, MeshError> {
        let inner = &self.host.0;
        let sent = inner.now();
        let mut words = inner.core().words();
        words.truncate(MAX_REPORTED);
        let loads = self.loads();
        let request = v1::ReportOwnershipRequest {
            peer: inner.own_id.clone(),
            words: words.clone(),
            loads,
            leaving: inner.leaving.load(Ordering::Acquire),
        };
        let answer = inner.client.report_ownership(request).await?.value;
        let lease = Duration::from_millis(answer.lease_ms.into());
        self.with_core(|core, now| {
            core.renewed(sent, lease, now);
            for word in answer.accepted.iter().filter_map(|at| words.get(*at as usize)) {
                let place = Place { namespace: word.shard_namespace.clone(), shard: word.id };
                core.accepted(&place, sent, now);
            }
        });
        Ok(Duration::from_millis(u64::from(answer.report_interval_ms).max(10)))
    }

    fn loads(&self) -> Vec<v1::ShardLoad> {
        let inner = &self.host.0;
        let open = inner.open.read().unwrap_or_else(PoisonError::into_inner);
        let load = |shard: &u32| {
            let calls_per_second = self.owner.load(&inner.place(*shard));
            v1::ShardLoad { shard_namespace: inner.namespace.clone(), id: *shard, calls_per_second }
        };
        open.keys().take(MAX_REPORTED).map(load).collect()
    }

    /// Ends everything as soon as the lease has run out.
    pub(super) async fn expire(&self) {
        let inner = &self.host.0;
        loop {
            let until = inner.core().lease_until();
            match until {
                Some(until) => {
                    tokio::time::sleep_until(inner.began + until).await;
                    self.with_core(HostCore::expire);
                }
                None => {
                    let mut turns = inner.turns.subscribe();
                    if turns.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
