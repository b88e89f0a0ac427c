//! The seam between the modules and whatever keeps the records.

use std::future::Future;
use std::pin::Pin;

use meshkit_model::{Namespace, Peer, PeerId, PeerStatus, Shard, ShardStatus, Timestamp};
use tokio::sync::watch;

use crate::error::StoreError;

/// What a store's methods return: boxed, so that modules hold `Arc<dyn Store>`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps the mesh's records.
///
/// Each read sees one consistent state and never waits for a writer. A mutation is applied wholly
/// or not at all, and is durable once its future is ready with `Ok`; a future that is dropped
/// before may or may not take effect.
pub trait Store: Send + Sync + 'static {
    /// Which store this is.
    fn identity(&self) -> &Identity;

    /// Tells of every new revision, the latest first. The sender is gone when the store is.
    fn revisions(&self) -> watch::Receiver<u64>;

    /// Lists peers in id order.
    fn peers(&self, query: PeerQuery) -> StoreFuture<'_, Page<Peer>>;

    /// Reads one peer.
    fn peer(&self, id: PeerId) -> StoreFuture<'_, Option<Peer>>;

    /// Lists all namespaces in name order.
    fn namespaces(&self) -> StoreFuture<'_, Vec<Namespace>>;

    /// Lists shards in the order of namespace and id.
    fn shards(&self, query: ShardQuery) -> StoreFuture<'_, Page<Shard>>;

    /// Reads one shard.
    fn shard(&self, namespace: String, id: u32) -> StoreFuture<'_, Option<Shard>>;

    /// Changes records in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::StaleFence`] and [`StoreError::Invalid`] name the
    /// first write that does not hold.
    fn commit(&self, mutation: Mutation) -> StoreFuture<'_, Committed>;

    /// Notes when peers were heard last. That is an observation and no change of a record: it has
    /// no version, revision or audit row. Unknown peers are passed over, older times too.
    fn touch(&self, heard: Vec<(PeerId, Timestamp)>) -> StoreFuture<'_, ()>;

    /// The newest audit entries, newest first, at most `limit`.
    fn audit(&self, limit: u32) -> StoreFuture<'_, Vec<AuditEntry>>;

    /// The changes after a revision in order, at most `limit`; none (`None`) where some of them
    /// are no longer kept and the reader has to read everything anew.
    fn changes(&self, after: u64, limit: u32) -> StoreFuture<'_, Option<Vec<Change>>>;
}

/// Which store this is: tokens of one store mean nothing to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 32 hexadecimal digits, chosen when the store was made.
    pub id: String,
    /// Grows when history was replaced, as by a restored backup.
    pub incarnation: u64,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// Whether more follow.
    pub more: bool,
    /// The revision that the page was read at.
    pub revision: u64,
}

/// Which peers to list; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerQuery {
    /// Exactly this role.
    pub role: Option<String>,
    /// Exactly this service.
    pub service: Option<String>,
    /// Exactly this cluster.
    pub cluster: Option<String>,
    /// Exactly this status.
    pub status: Option<PeerStatus>,
    /// Only ids after this one, in byte order.
    pub after: Option<String>,
    /// The most peers of the page.
    pub limit: u32,
}

/// Which shards to list; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardQuery {
    /// Exactly this namespace.
    pub namespace: Option<String>,
    /// Exactly this owner; an empty text asks for shards without one.
    pub owner: Option<String>,
    /// Exactly this status.
    pub status: Option<ShardStatus>,
    /// Only shards after this namespace and id.
    pub after: Option<(String, u32)>,
    /// The most shards of the page.
    pub limit: u32,
}

/// A change of records, with who made it and why.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// Who: a principal's name, or `meshkitd` for its own decisions.
    pub actor: String,
    /// Why, for the audit.
    pub reason: String,
    /// When, for the audit.
    pub at: Timestamp,
    /// What; at most [`Mutation::MAX_WRITES`].
    pub writes: Vec<Write>,
}

impl Mutation {
    /// The most writes of one mutation: a bound on how long one holds up the others.
    pub const MAX_WRITES: usize = 1024;
}

/// One record to write. The store sets `record_version`.
#[derive(Clone, Debug)]
pub enum Write {
    /// Adds or replaces a peer.
    Peer {
        /// The new record.
        peer: Box<Peer>,
        /// What must be there before.
        expect: Expect,
    },
    /// Adds or replaces a namespace.
    Namespace {
        /// The new record.
        namespace: Namespace,
        /// What must be there before.
        expect: Expect,
    },
    /// Adds or replaces a shard. The new record's fence must not be below the stored one, and must
    /// be above it where the owner changes.
    Shard {
        /// The new record.
        shard: Shard,
        /// What must be there before.
        expect: Expect,
        /// The fence under which the writer acts: it must be the stored one, 0 where the shard is new.
        fence: u64,
    },
}

/// What must be in the store before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No such record.
    Absent,
    /// The record in this version.
    Version(u64),
}

/// An acknowledged mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision that the mutation made; each mutation makes one.
    pub revision: u64,
    /// The new version of each record, in the order of the writes.
    pub versions: Vec<u64>,
}

/// Who changed what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number; without gaps from the oldest that is kept.
    pub number: u64,
    /// The revision it belongs to.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The record, such as `peer/greeter-1`.
    pub record: String,
    /// The record before as JSON; none where it is new.
    pub before: Option<String>,
    /// The record after as JSON.
    pub after: String,
}

/// A record as one revision left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: u64,
    /// The record, such as `shard/orders/7`.
    pub record: String,
    /// Its version.
    pub version: u64,
    /// The record as JSON.
    pub after: String,
}
