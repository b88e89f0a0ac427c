//! The store on etcd: several meshkitd share it.

mod history;
mod keeper;
mod large;
mod layout;
mod load;
mod open;
mod plan;
mod replica;
mod requests;
mod shared;
mod touch;
mod writer;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use meshkit_etcd::{Client, prefix_end};
use meshkit_model::{Kind, PeerId, Timestamp};
use omnirelay_runtime::OperatorError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::api::{Change, Entry, Identity, Loading, Store, StoreFuture};
use crate::audit::{AuditEntry, AuditQuery};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};
use layout::Keys;
use shared::{HistoryKept, PATIENCE, Shared};
use touch::Buckets;
use writer::{Job, Writer};

/// Records of one chunk.
const CHUNK: usize = 1_024;

/// Which etcd, where in it, and how much history is kept.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// Endpoints, TLS and user.
    pub client: meshkit_etcd::Config,
    /// All keys begin with it. Nobody else may write below it.
    pub prefix: String,
    /// How many audit entries are kept at least.
    pub audit_kept: u64,
    /// How many changes are kept at least.
    pub changes_kept: u64,
    /// How long etcd keeps its own history at least, of all that lies in it; none leaves that to etcd.
    pub history_kept: Option<Duration>,
}

impl EtcdOptions {
    /// A store below a prefix, with 100 000 audit entries and as many changes kept, and etcd's history for 5 minutes.
    pub fn new(client: meshkit_etcd::Config, prefix: impl Into<String>) -> Self {
        let history_kept = Some(Duration::from_secs(300));
        Self { client, prefix: prefix.into(), audit_kept: 100_000, changes_kept: 100_000, history_kept }
    }
}

/// The store on etcd. Each node has all records in memory and decides by them; etcd takes what was
/// decided as the next entry of one log, and refuses it where the log had gone on, so that all
/// nodes together write as one. A read waits until this node is as new as etcd.
///
/// Cloning shares it. When the last clone is gone, what is queued is still carried out.
#[derive(Clone, Debug)]
pub struct EtcdStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    identity: Identity,
    shared: Arc<Shared>,
    buckets: Buckets,
    queue: mpsc::Sender<Job>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl EtcdStore {
    /// Opens the store below the prefix, or makes it where nothing lies there.
    ///
    /// # Errors
    /// Says clearly that etcd cannot be reached or refuses the user, and, without having touched anything, that what
    /// lies there is damaged, is not ours or was made by a newer meshkitd.
    pub async fn open(options: &EtcdOptions) -> Result<Self, OperatorError> {
        let client = Client::new(&options.client)?;
        let keys = Keys::new(&options.prefix);
        let kept = HistoryKept { audit: options.audit_kept, changes: options.changes_kept };
        let identity = open::identity(&client, &keys, options).await?;
        let loaded = load::everything(&client, &keys, kept, open::PATIENCE).await;
        let load::Loaded { replica, revision, cluster } = loaded.map_err(|error| match error {
            load::LoadError::Etcd(error) => open::refused(options, &error),
            load::LoadError::Damaged(what) => open::damaged(options).because(what),
        })?;
        let shared = Arc::new(Shared {
            revisions: watch::Sender::new(replica.tip().revision),
            replica: RwLock::new(replica),
            client,
            cluster,
            keys,
            kept,
            damage: watch::Sender::new(None),
        });
        let (queue, jobs) = mpsc::channel(writer::QUEUE);
        let instance = open::random()?;
        let writer = Writer::new(Arc::clone(&shared), instance);
        omnirelay_runtime::spawn("store-writer", writer.work(jobs));
        let follower = omnirelay_runtime::spawn("store-follower", follow(Arc::clone(&shared), revision));
        let mut tasks = vec![follower.abort_handle()];
        if let Some(kept) = options.history_kept {
            let keeper =
                omnirelay_runtime::spawn("store-keeper", keeper::keep(Arc::clone(&shared), instance, kept));
            tasks.push(keeper.abort_handle());
        }
        Ok(Self(Arc::new(Inner { identity, shared, buckets: Buckets::default(), queue, tasks })))
    }

    /// Waits until the store meets something in etcd that it cannot read, and says what: who
    /// composes the store should stop then, since answers may be wrong from there on.
    pub async fn damaged(&self) -> String {
        let mut damage = self.0.shared.damage.subscribe();
        // The sender lives as long as this store.
        let found = damage.wait_for(Option::is_some).await;
        found.ok().and_then(|found| found.clone()).unwrap_or_default()
    }

    /// Why etcd cannot be used now; `None` while it answers.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.0.shared.client.trouble()
    }
}

async fn follow(shared: Arc<Shared>, after: i64) {
    let logs = shared.keys.logs();
    let watch = shared.client.watch(logs.clone(), prefix_end(&logs), after);
    shared.follow(watch).await;
}

impl Store for EtcdStore {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.0.shared.revisions.subscribe()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self, kinds: &'static [Kind]) -> StoreFuture<'_, Loading> {
        Box::pin(async move {
            self.0.shared.catch_up().await?;
            let (revision, entries) = {
                let replica = self.0.shared.replica();
                (replica.tip().revision, replica.entries(kinds))
            };
            // All of it is in memory already, so all of it may wait there.
            let (sender, chunks) = mpsc::channel(entries.len() / CHUNK + 1);
            for chunk in entries.chunks(CHUNK) {
                let _room = sender.try_send(Ok(chunk.to_vec()));
            }
            Ok(Loading { revision, chunks })
        })
    }

    fn get(&self, kind: Kind, key: String) -> StoreFuture<'_, Option<Entry>> {
        Box::pin(async move {
            self.0.shared.catch_up().await?;
            let replica = self.0.shared.replica();
            Ok(replica.get(kind, &key).map(|kept| kept.entry(kind, &key)))
        })
    }

    fn commit(&self, mutation: Mutation) -> StoreFuture<'_, Committed> {
        Box::pin(async move {
            let ended = || StoreError::Unavailable("its writer has ended".to_owned());
            let (reply, outcome) = oneshot::channel();
            let deadline = Instant::now() + PATIENCE;
            let job = Job { mutation: Box::new(mutation), deadline, reply };
            self.0.queue.send(job).await.map_err(|_| ended())?;
            outcome.await.map_err(|_| ended())?
        })
    }

    fn changes(&self, after: u64, limit: u32) -> StoreFuture<'_, Option<Vec<Change>>> {
        Box::pin(self.0.shared.changes(after, limit))
    }

    fn audit(&self, query: AuditQuery) -> StoreFuture<'_, Vec<AuditEntry>> {
        Box::pin(async move { self.0.shared.audit(&query).await })
    }

    fn touch(&self, heard: Vec<(PeerId, Timestamp)>) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.0.shared.touch(&self.0.buckets, &heard).await })
    }

    fn touched(&self) -> StoreFuture<'_, Vec<(PeerId, Timestamp)>> {
        Box::pin(self.0.shared.touched())
    }
}
