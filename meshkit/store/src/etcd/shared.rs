//! What the parts of the store share, and how its replica is kept up with the log.
//!
//! Entries come from a watch, from a look at what is behind the newest known one, and from our own
//! transactions. It does not matter which is first: an entry is applied where it follows, passed over
//! where it is known, and a gap is filled by looking. So neither a lost event nor a compacted
//! history loses a change.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use meshkit_etcd::api::event::EventType;
use meshkit_etcd::api::{KeyValue, ResponseHeader};
use meshkit_etcd::{Client, EtcdError, Told, Watch, prefix_end};
use prost::Message as _;
use tokio::sync::watch;
use tracing::{info, warn};

use super::layout::{Keys, Logged, Part};
use super::replica::{Applied, Replica};
use super::{load, requests};
use crate::error::StoreError;

/// How long a read or a write may take while members fail: less than callers wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// Entries of the log that are read at once.
pub(super) const PAGE: i64 = 32;
/// How long to leave etcd alone after it refused us.
const PAUSE: Duration = Duration::from_secs(1);

/// How much history is kept, in rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryKept {
    pub(super) audit: u64,
    pub(super) changes: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) cluster: u64,
    pub(super) keys: Keys,
    pub(super) kept: HistoryKept,
    pub(super) replica: RwLock<Replica>,
    pub(super) revisions: watch::Sender<u64>,
    pub(super) damage: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn replica(&self) -> RwLockReadGuard<'_, Replica> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies entries that follow one another, oldest first, and tells of the newest revision.
    pub(super) async fn apply(&self, entries: Vec<Logged>) -> Result<(), StoreError> {
        for mut logged in entries {
            if logged.after.seq <= self.replica().tip().seq {
                continue;
            }
            if logged.parts > 0 && logged.rows.is_empty() {
                logged.rows = self.rows(&logged).await?;
            }
            if self.put(&logged)? == Applied::Gap {
                return self.fill(logged.before.seq).await;
            }
        }
        Ok(())
    }

    fn put(&self, logged: &Logged) -> Result<Applied, StoreError> {
        let mut replica = self.replica.write().unwrap_or_else(PoisonError::into_inner);
        let applied = replica.apply(logged);
        // Under the lock, so that no older revision is told after a newer one.
        self.tell(replica.tip().revision);
        self.noted(applied)
    }

    fn tell(&self, revision: u64) {
        self.revisions.send_if_modified(|told| std::mem::replace(told, revision) != revision);
    }

    /// Entries before `seq` are missing: reads them, or everything where they are forgotten.
    async fn fill(&self, seq: u64) -> Result<(), StoreError> {
        let known = self.replica().tip().seq;
        if known < seq {
            let oldest = self.log(known + 1, known + 2).await?;
            if oldest.is_empty() {
                return self.reload().await;
            }
        }
        Box::pin(self.catch_up()).await.map(drop)
    }

    /// Applies what is behind the newest known entry; says whether there was anything. Once it is
    /// done the replica is as new as etcd was when it was called.
    pub(super) async fn catch_up(&self) -> Result<bool, StoreError> {
        let mut any = false;
        loop {
            let next = self.replica().tip().seq + 1;
            let request = requests::range(self.keys.log(next), prefix_end(&self.keys.logs()), PAGE);
            let answer = self.client.range(request, PATIENCE).await.map_err(|error| unavailable(&error))?;
            self.same_cluster(answer.header.as_ref())?;
            let entries = decoded(&answer.kvs)?;
            any |= !entries.is_empty();
            if entries.first().is_some_and(|first| first.after.seq != next) {
                self.reload().await?;
                continue;
            }
            Box::pin(self.apply(entries)).await?;
            if !answer.more {
                return Ok(any);
            }
        }
    }

    /// A restored snapshot is another cluster: it lacks what this node knows, and goes on elsewhere.
    pub(super) fn same_cluster(&self, header: Option<&ResponseHeader>) -> Result<(), StoreError> {
        match header.is_none_or(|header| header.cluster_id == self.cluster) {
            true => Ok(()),
            false => self.noted(Err(restored())),
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        info!("the log was forgotten behind what this node knows; reading everything anew");
        let loaded =
            load::everything(&self.client, &self.keys, self.kept, PATIENCE).await.map_err(
                |error| match error {
                    load::LoadError::Etcd(error) => unavailable(&error),
                    load::LoadError::Damaged(what) => StoreError::Damaged(what),
                },
            );
        let loaded = self.noted(loaded)?.replica;
        let mut replica = self.replica.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.tip().seq >= replica.tip().seq {
            *replica = loaded;
            self.tell(replica.tip().revision);
        }
        Ok(())
    }

    /// Entries of the log from `from` to before `to`, without their parts.
    pub(super) async fn log(&self, from: u64, to: u64) -> Result<Vec<Logged>, StoreError> {
        let request = requests::range(self.keys.log(from), self.keys.log(to), 0);
        let answer = self.client.range(request, PATIENCE).await.map_err(|error| unavailable(&error))?;
        self.noted(decoded(&answer.kvs))
    }

    /// The rows of a large mutation, from its parts.
    pub(super) async fn rows(&self, logged: &Logged) -> Result<Vec<super::layout::Row>, StoreError> {
        let rows = load::rows(&self.client, &self.keys, logged, 0, PATIENCE).await;
        self.noted(rows.map_err(|error| match error {
            load::LoadError::Etcd(error) => unavailable(&error),
            load::LoadError::Damaged(what) => StoreError::Damaged(what),
        }))
    }

    pub(super) fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(what)) = &outcome {
            self.damage.send_replace(Some(what.clone()));
        }
        outcome
    }

    /// Follows the log for as long as it is asked to.
    pub(super) async fn follow(&self, mut watch: Watch) {
        loop {
            let outcome = match watch.next().await {
                Ok(Told::Events(events)) => {
                    let put = |event: meshkit_etcd::api::Event| {
                        event.kv.filter(|_| event.r#type == i32::from(EventType::Put))
                    };
                    let kvs: Vec<KeyValue> = events.into_iter().filter_map(put).collect();
                    match self.noted(decoded(&kvs)) {
                        Ok(entries) => self.apply(entries).await,
                        Err(error) => Err(error),
                    }
                }
                Ok(Told::Resync(why)) => {
                    info!(why, "the watch of the log begins anew");
                    self.resync(&mut watch).await
                }
                Err(error) => Err(unavailable(&error)),
            };
            if let Err(error) = outcome {
                warn!(%error, "the log cannot be followed; trying again");
                tokio::time::sleep(PAUSE).await;
                // What was told and not applied is found by looking.
                if self.resync(&mut watch).await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn resync(&self, watch: &mut Watch) -> Result<(), StoreError> {
        let request = requests::get(self.keys.tip());
        let answer = self.client.range(request, PATIENCE).await.map_err(|error| unavailable(&error))?;
        watch.resume(answer.header.unwrap_or_default().revision);
        self.catch_up().await.map(drop)
    }
}

/// Etcd holds less than this node has seen there.
pub(super) fn restored() -> StoreError {
    StoreError::Damaged(
        "etcd was restored or its keys were changed while meshkitd ran; start it again".to_owned(),
    )
}

/// Entries of the log as they lie in etcd.
pub(super) fn decoded(kvs: &[KeyValue]) -> Result<Vec<Logged>, StoreError> {
    let one = |kv: &KeyValue| {
        Logged::decode(kv.value.as_slice())
            .map_err(|error| StoreError::Damaged(format!("an entry of the log cannot be read: {error}")))
    };
    kvs.iter().map(one).collect()
}

/// Decodes a part.
pub(super) fn part(value: &[u8]) -> Result<Part, prost::DecodeError> {
    Part::decode(value)
}

/// What etcd says, as the store's error, for what certainly changed nothing.
pub(super) fn unavailable(error: &EtcdError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
