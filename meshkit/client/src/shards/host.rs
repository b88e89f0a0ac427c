//! Owning shards: a process's own shards kept in step with the control plane.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use omnirelay_runtime::Drain;
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock as Turn, watch};
use tokio::time::Instant;

use super::core::{HostCore, Place};
use super::key::shard_of_key;
use super::map::ShardMap;
use super::owner::ShardOwner;
use crate::client::MeshClient;
use works::Works;

mod works;

/// How long one report may take: where nobody answers it there is time, before the lease ends, for another one to another control plane.
const ATTEMPT: Duration = Duration::from_millis(700);
/// How long the end of the process may be held up by shards that nobody takes over.
const LEAVE: Duration = Duration::from_secs(10);

/// Owns shards of one namespace on behalf of a service. Cloning shares it.
///
/// It follows the records, renews the lease, calls the service ([`ShardOwner`]) in the right order and
/// says which calls may come in ([`enter`](Self::enter)). When the process drains it hands all its shards over.
#[derive(Clone, Debug)]
pub struct ShardHost(Arc<Inner>);

struct Inner {
    client: MeshClient,
    namespace: String,
    own_id: String,
    map: ShardMap,
    core: Mutex<HostCore>,
    /// What is served, by shard.
    open: RwLock<HashMap<u32, Arc<Open>>>,
    /// Milliseconds since `began` until which the lease runs; 0 where there is none.
    lease_until: AtomicU64,
    began: Instant,
    /// Wakes those who wait for a shard.
    turns: watch::Sender<u64>,
    /// Wakes the reporter.
    news: Notify,
    leaving: AtomicBool,
    ended: watch::Sender<bool>,
}

/// A shard that is served.
#[derive(Debug)]
struct Open {
    fence: u64,
    is_open: AtomicBool,
    /// Calls read it, and a drain waits to write it.
    calls: Arc<Turn<()>>,
}

/// A call that came in: while it is held the shard is not handed over.
#[derive(Debug)]
pub struct Entered {
    shard: u32,
    open: Arc<Open>,
    host: ShardHost,
    _turn: OwnedRwLockReadGuard<()>,
}

/// The process does not own the shard of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard} of `{namespace}` is not served here")]
pub struct NotOwner {
    /// The namespace.
    pub namespace: String,
    /// The shard.
    pub shard: u32,
    /// Who may serve it; none where that is not known.
    pub owner: Option<Arc<str>>,
}

impl Entered {
    /// The fence under which the call is carried out: whatever it writes elsewhere carries it.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.open.fence
    }

    /// The shard of the key.
    #[must_use]
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// Whether the shard is still owned under this fence. To be asked before anything is written, since a process
    /// can be paused between any two of its steps.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.open.is_open.load(Ordering::Acquire) && self.host.0.has_lease()
    }
}

impl ShardHost {
    /// Owns shards of `namespace` as the peer `own_id`, which has to be registered with the control plane, until the
    /// drain begins; then it hands them over, which holds the drain up for at most 10 s.
    pub fn spawn<O: ShardOwner>(
        client: MeshClient,
        namespace: impl Into<String>,
        own_id: impl Into<String>,
        owner: Arc<O>,
        drain: Drain,
    ) -> Self {
        let own_id = own_id.into();
        let (ended, _) = watch::channel(false);
        let host = Self(Arc::new(Inner {
            client: client.with_timeout(ATTEMPT),
            namespace: namespace.into(),
            core: Mutex::new(HostCore::new(own_id.as_str())),
            own_id,
            map: ShardMap::new(),
            open: RwLock::default(),
            lease_until: AtomicU64::new(0),
            began: Instant::now(),
            turns: watch::Sender::new(0),
            news: Notify::new(),
            leaving: AtomicBool::new(false),
            ended,
        }));
        let (guard, running) = (drain.guard(), host.clone());
        omnirelay_runtime::spawn("shard-host", async move {
            let works = Works::new(running.clone(), owner);
            tokio::select! {
                () = works.follow() => {}
                () = works.report() => {}
                () = works.expire() => {}
                () = running.leave(&drain) => {}
            }
            running.close_all();
            running.0.ended.send_replace(true);
            drop(guard);
        });
        host
    }

    /// Who owns the other shards of the namespace.
    #[must_use]
    pub fn map(&self) -> &ShardMap {
        &self.0.map
    }

    /// Lets a call in where the shard of its key is served here.
    ///
    /// # Errors
    /// [`NotOwner`] tells who may serve it.
    pub fn enter(&self, key: &[u8]) -> Result<Entered, NotOwner> {
        let shards = self.0.map.shards(&self.0.namespace).unwrap_or(0);
        let shard = shard_of_key(key, shards);
        self.entered(shard).ok_or_else(|| self.not_owner(shard))
    }

    /// As [`enter`](Self::enter), and waits for at most `patience` where the shard is about to be served here.
    ///
    /// # Errors
    /// [`NotOwner`] where it is not to be, or was not in time.
    pub async fn enter_soon(&self, key: &[u8], patience: Duration) -> Result<Entered, NotOwner> {
        let mut turns = self.0.turns.subscribe();
        let until = Instant::now() + patience;
        loop {
            turns.mark_unchanged();
            let refused = match self.enter(key) {
                Ok(entered) => return Ok(entered),
                Err(refused) => refused,
            };
            let place = self.0.place(refused.shard);
            let is_known = self.0.map.version() > 0;
            if is_known && !self.0.core().is_coming(&place) {
                return Err(refused);
            }
            match tokio::time::timeout_at(until, turns.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(refused),
            }
        }
    }

    /// Waits until the process has handed its shards over, or gave that up.
    pub async fn ended(&self) {
        let mut ended = self.0.ended.subscribe();
        // The sender lives as long as this host.
        let _ended = ended.wait_for(|ended| *ended).await;
    }

    fn entered(&self, shard: u32) -> Option<Entered> {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned()?;
        // A drain that waits keeps new calls out.
        let turn = Arc::clone(&open.calls).try_read_owned().ok()?;
        let entered = Entered { shard, open, host: self.clone(), _turn: turn };
        entered.is_valid().then_some(entered)
    }

    fn not_owner(&self, shard: u32) -> NotOwner {
        let namespace = self.0.namespace.clone();
        let located = self.0.map.get(&namespace, shard);
        let own = |id: &Arc<str>| **id == *self.0.own_id;
        // While it hands the shard over itself the successor takes the calls.
        let owner = located.and_then(|at| match at.owner {
            Some(owner) if !own(&owner) => Some(owner),
            _ => at.successor.filter(|next| !own(next)),
        });
        NotOwner { namespace, shard, owner }
    }

    async fn leave(&self, drain: &Drain) {
        drain.started().await;
        self.0.leaving.store(true, Ordering::Release);
        self.0.news.notify_one();
        let mut turns = self.0.turns.subscribe();
        let handed_over = async {
            while self.0.core().owns_anything() {
                if turns.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LEAVE, handed_over).await.is_err() {
            tracing::warn!(namespace = self.0.namespace, "ends with shards that nobody took over in time");
        }
    }

    fn close_all(&self) {
        let all = std::mem::take(&mut *self.0.open.write().unwrap_or_else(PoisonError::into_inner));
        all.values().for_each(|open| open.is_open.store(false, Ordering::Release));
        self.0.lease_until.store(0, Ordering::Release);
    }
}

impl Inner {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn has_lease(&self) -> bool {
        self.now() < Duration::from_millis(self.lease_until.load(Ordering::Acquire))
    }

    fn place(&self, shard: u32) -> Place {
        Place { namespace: self.namespace.clone(), shard }
    }

    fn core(&self) -> MutexGuard<'_, HostCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops serving a shard, for calls that come from now on.
    fn close(&self, shard: u32) -> Option<Arc<Open>> {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&shard);
        if let Some(open) = &open {
            open.is_open.store(false, Ordering::Release);
        }
        open
    }

    fn turn(&self) {
        self.turns.send_modify(|turn| *turn = turn.wrapping_add(1));
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("namespace", &self.namespace)
            .field("own_id", &self.own_id)
            .finish_non_exhaustive()
    }
}
