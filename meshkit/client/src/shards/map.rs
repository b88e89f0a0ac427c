//! Who owns what, from memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use omnirelay_runtime::Drain;
use tokio::sync::watch;
use tokio::time::Instant;
use v1::{OwnershipPhase, WatchEventType};

use super::key::{hash, shard_of_hash};
use crate::client::MeshClient;
use crate::error::MeshError;

/// How long to wait before the control plane is called again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The owners of shards in memory. It goes on answering while the control plane is away. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ShardMap(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tables: RwLock<Tables>,
    /// The revision of what was applied last; 0 before the first snapshot.
    applied: watch::Sender<u64>,
}

/// Where a key or a shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The shard's number in its namespace.
    pub shard: u32,
    /// The id of its owner; none where nobody owns it.
    pub owner: Option<Arc<str>>,
    /// The id of the peer that takes over; none where nobody is to.
    pub successor: Option<Arc<str>>,
    /// How far the owner's ownership has come.
    pub phase: OwnershipPhase,
    /// Under what fence it is owned.
    pub fence: u64,
}

/// Why something was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The parts are not what the end of the snapshot says they are.
    #[error("the snapshot is not whole: {0}")]
    Incomplete(String),
    /// Changes were missed: a new snapshot is needed.
    #[error("changes were missed: {0}")]
    Missed(String),
}

#[derive(Debug, Default)]
struct Tables {
    namespaces: HashMap<Box<str>, Table>,
    peers: Peers,
    revision: u64,
    resume_token: String,
    heard_at: Option<Instant>,
    /// The snapshot that is on its way; nobody sees it.
    pending: Option<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    shards: Vec<v1::Shard>,
    checksum: u64,
}

/// The shards of a namespace, one slot for each that it has.
#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    known: usize,
}

/// What is known of a shard, in 32 bytes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    fence: u64,
    version: u64,
    owner: u32,
    successor: u32,
    phase: OwnershipPhase,
}

const NOBODY: u32 = u32::MAX;
const UNKNOWN: Slot =
    Slot { fence: 0, version: 0, owner: NOBODY, successor: NOBODY, phase: OwnershipPhase::Unspecified };

/// The names of peers, each once.
#[derive(Debug, Default)]
struct Peers {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Peers {
    fn number(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return NOBODY;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(NOBODY);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    fn name(&self, number: u32) -> Option<Arc<str>> {
        self.names.get(number as usize).cloned()
    }
}

impl Default for ShardMap {
    fn default() -> Self {
        Self::new()
    }
}

impl ShardMap {
    /// A map that knows nothing yet, for [`apply`](Self::apply).
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { tables: RwLock::default(), applied: watch::Sender::new(0) }))
    }

    /// A map that follows the control plane until the drain begins; an empty namespace means all of them.
    #[must_use]
    pub fn follow(client: MeshClient, namespace: impl Into<String>, drain: Drain) -> Self {
        let (map, namespace) = (Self::new(), namespace.into());
        let followed = map.clone();
        omnirelay_runtime::spawn("shard-map", async move {
            tokio::select! {
                () = drain.started() => {}
                () = followed.keep(&client, &namespace) => {}
            }
        });
        map
    }

    /// Who owns the shard of a key; none where the namespace is not known. It never waits for the network.
    #[must_use]
    pub fn lookup(&self, namespace: &str, key: &[u8]) -> Option<Located> {
        self.lookup_hash(namespace, hash(key))
    }

    /// As [`lookup`](Self::lookup), by the [`hash`](super::hash) of a key, for those who keep that and not the key.
    #[must_use]
    pub fn lookup_hash(&self, namespace: &str, hash: u64) -> Option<Located> {
        let tables = self.read();
        let table = tables.namespaces.get(namespace)?;
        tables.located(table, shard_of_hash(hash, table.len()))
    }

    /// Who owns a shard; none where there is none of that number.
    #[must_use]
    pub fn get(&self, namespace: &str, shard: u32) -> Option<Located> {
        let tables = self.read();
        tables.located(tables.namespaces.get(namespace)?, shard)
    }

    /// How many shards a namespace has; none where it is not known.
    #[must_use]
    pub fn shards(&self, namespace: &str) -> Option<u32> {
        self.read().namespaces.get(namespace).map(Table::len)
    }

    /// The revision of what was applied last; 0 before the first snapshot.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.read().revision
    }

    /// How long ago the control plane was heard last: the answers are as old as that at most. None before the
    /// first snapshot.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.read().heard_at.map(|at| at.elapsed())
    }

    /// Tells of every applied change, the latest revision first.
    #[must_use]
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// Waits for the first snapshot.
    pub async fn ready(&self) {
        // The sender lives as long as this map.
        let mut versions = self.versions();
        let _ready = versions.wait_for(|version| *version > 0).await;
    }

    /// Applies one message of `WatchShards`: a part of a snapshot, its end, or an event. Parts show only once
    /// their end has come, so that nothing, or half of it, is never taken for all there is.
    ///
    /// # Errors
    /// Where the watch has to begin anew with a snapshot; what the map knew it still knows.
    pub fn apply(&self, message: &v1::WatchShardsResponse) -> Result<(), MapError> {
        let mut tables = self.write();
        let applied = tables.apply(message);
        let revision = tables.revision;
        drop(tables);
        self.0.applied.send_if_modified(|known| std::mem::replace(known, revision) != revision);
        applied
    }

    /// Follows the control plane for as long as it is awaited; an empty namespace means all of them. One at a time.
    pub async fn keep(&self, client: &MeshClient, namespace: &str) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.version();
            if let Err(error) = self.watch(client, namespace).await {
                tracing::debug!(%error, "the shard map goes on where it was");
            }
            if self.version() != before {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn watch(&self, client: &MeshClient, namespace: &str) -> Result<(), MeshError> {
        let resume_token = self.read().resume_token.clone();
        let mut messages = client.watch_shards(namespace, &resume_token).await?;
        while let Some(message) = messages.next().await? {
            if let Err(error) = self.apply(&message) {
                tracing::debug!(%error, "the shard map begins anew");
                self.write().resume_token.clear();
                return Ok(());
            }
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn located(&self, table: &Table, shard: u32) -> Option<Located> {
        let slot = table.slots.get(shard as usize)?;
        let (owner, successor) = (self.peers.name(slot.owner), self.peers.name(slot.successor));
        Some(Located { shard, owner, successor, phase: slot.phase, fence: slot.fence })
    }

    fn apply(&mut self, message: &v1::WatchShardsResponse) -> Result<(), MapError> {
        if !message.snapshot.is_empty() {
            let pending = self.pending.get_or_insert_default();
            for shard in &message.snapshot {
                pending.checksum ^= shard.checksum;
            }
            pending.shards.extend_from_slice(&message.snapshot);
        }
        if let Some(complete) = &message.complete {
            let pending = self.pending.take().unwrap_or_default();
            self.replace(&pending, complete)?;
        }
        if let Some(event) = &message.event {
            self.hear(event, message.shard.as_ref())?;
        }
        Ok(())
    }

    fn replace(&mut self, pending: &Pending, complete: &v1::SnapshotComplete) -> Result<(), MapError> {
        let came = pending.shards.len() as u64;
        if (came, pending.checksum) != (complete.shards, complete.checksum) {
            return Err(MapError::Incomplete(format!(
                "{came} of {} shards came, or others",
                complete.shards
            )));
        }
        let table = |size: &v1::NamespaceSize| {
            (size.name.as_str().into(), Table { slots: vec![UNKNOWN; size.shards as usize], known: 0 })
        };
        self.namespaces = complete.namespaces.iter().map(table).collect();
        self.peers = Peers::default();
        for shard in &pending.shards {
            // Of a namespace that is being removed some may be left.
            let _of_none = self.put(shard);
        }
        self.revision = complete.revision;
        self.heard_at = Some(Instant::now());
        Ok(())
    }

    fn put(&mut self, shard: &v1::Shard) -> Result<(), MapError> {
        let table = self.namespaces.get_mut(shard.shard_namespace.as_str());
        let slot = table.and_then(|table| Some((table.slots.get_mut(shard.id as usize)?, &mut table.known)));
        let Some((slot, known)) = slot else {
            // Keys hash over how many shards there are, which the next snapshot tells.
            return Err(MapError::Missed(format!("the namespace `{}` is new", shard.shard_namespace)));
        };
        if slot.version < shard.record_version {
            *known += usize::from(slot.version == 0);
            *slot = Slot {
                fence: shard.fence,
                version: shard.record_version,
                owner: self.peers.number(&shard.owner),
                successor: self.peers.number(&shard.successor),
                phase: shard.phase(),
            };
        }
        Ok(())
    }

    fn hear(&mut self, event: &v1::WatchEvent, shard: Option<&v1::Shard>) -> Result<(), MapError> {
        match event.r#type() {
            WatchEventType::Put => {
                if let Some(shard) = shard {
                    self.put(shard)?;
                }
            }
            WatchEventType::Deleted => self.delete(&event.key),
            WatchEventType::ResyncRequired => return Err(MapError::Missed(event.reason.clone())),
            WatchEventType::Bookmark | WatchEventType::Unspecified => {}
        }
        self.revision = self.revision.max(event.revision);
        self.resume_token.clone_from(&event.resume_token);
        self.heard_at = Some(Instant::now());
        Ok(())
    }

    fn delete(&mut self, key: &str) {
        let Some((namespace, id)) = key.rsplit_once('/') else { return };
        let Some(table) = self.namespaces.get_mut(namespace) else { return };
        let slot = id.parse().ok().and_then(|id: usize| table.slots.get_mut(id));
        if let Some(slot) = slot.filter(|slot| slot.version > 0) {
            *slot = UNKNOWN;
            table.known -= 1;
        }
        // Shards go one by one, and their namespace with the last of them.
        if table.known == 0 {
            self.namespaces.remove(namespace);
        }
    }
}

impl Table {
    fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
