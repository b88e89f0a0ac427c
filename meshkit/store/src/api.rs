//! The seam between the modules and whatever keeps the records.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use meshkit_model::{Kind, PeerId, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::audit::{AuditEntry, AuditQuery};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};

/// What a store's methods return: boxed, so that a [`View`](crate::View) holds `Arc<dyn Store>`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps the mesh's records, whatever they are: a record is a kind, a key, a version and JSON.
///
/// Each read sees one consistent state and never waits for a writer. A mutation is applied wholly
/// or not at all, and is durable once its future is ready with `Ok`; a future that is dropped
/// before may or may not take effect.
pub trait Store: Send + Sync + 'static {
    /// Which store this is.
    fn identity(&self) -> &Identity;

    /// Tells of every new revision, the latest first. The sender is gone when the store is.
    fn revisions(&self) -> watch::Receiver<u64>;

    /// Whether other processes write to it too, so that what they observe has to be read.
    fn is_shared(&self) -> bool {
        false
    }

    /// Reads all records of some kinds, all at one revision.
    fn load(&self, kinds: &'static [Kind]) -> StoreFuture<'_, Loading>;

    /// Reads one record.
    fn get(&self, kind: Kind, key: String) -> StoreFuture<'_, Option<Entry>>;

    /// Changes records in one transaction, with an audit row and a change row for each.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::StaleFence`] and [`StoreError::Invalid`] name the
    /// first write that does not hold: see [`Write::admit`](crate::Write::admit).
    fn commit(&self, mutation: Mutation) -> StoreFuture<'_, Committed>;

    /// The changes after a revision in order; none (`None`) where some of them are no longer kept,
    /// or where `after` is above the newest revision, and the reader has to read everything anew.
    /// Revisions come whole: there may be up to [`Mutation::MAX_WRITES`] changes more than `limit`.
    fn changes(&self, after: u64, limit: u32) -> StoreFuture<'_, Option<Vec<Change>>>;

    /// Audit entries that a query asks for.
    fn audit(&self, query: AuditQuery) -> StoreFuture<'_, Vec<AuditEntry>>;

    /// Notes when peers were heard last. That is an observation and no change of a record: it has
    /// no version, revision or audit row. Unknown peers are passed over, older times too.
    fn touch(&self, heard: Vec<(PeerId, Timestamp)>) -> StoreFuture<'_, ()>;

    /// When peers were heard last, as far as it was noted.
    fn touched(&self) -> StoreFuture<'_, Vec<(PeerId, Timestamp)>>;

    /// Copies all of it as it is now, while reads and writes go on; none where copies are the backend's own
    /// business. One copy is made at a time.
    fn copy(&self) -> StoreFuture<'_, Option<StoreCopy>> {
        Box::pin(async { Ok(None) })
    }
}

/// A copy of a store in a file of its own, which is gone once this is dropped. It holds the store's secrets.
#[derive(Debug)]
pub struct StoreCopy {
    /// The copy, to be read from its beginning.
    pub file: File,
    /// The revision that it holds.
    pub revision: u64,
    // Behind the file: some systems remove none that is open.
    pub(crate) _place: Removed,
}

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // What cannot be removed now is removed before the next copy.
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Which store this is: tokens of one store mean nothing to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 32 hexadecimal digits, chosen when the store was made.
    pub id: String,
    /// Grows when history was replaced, as by a restored backup.
    pub incarnation: u64,
    /// What tokens of this store are signed with.
    pub token_key: TokenKey,
}

/// A secret of the store: 256 random bits, the same on every node that shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey([u8; Self::LEN]);

impl TokenKey {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// Takes the bytes of a key.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for signing and for keeping.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(secret)")
    }
}

/// A record as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: u64,
    /// The record as JSON.
    pub value: Arc<str>,
}

/// Records that are being read, all as they were at one revision.
#[derive(Debug)]
pub struct Loading {
    /// The revision.
    pub revision: u64,
    /// The records in chunks, in the order of the kinds that were asked for and of the key's bytes.
    /// After an error nothing follows; dropping this ends the reading.
    pub chunks: mpsc::Receiver<Result<Vec<Entry>, StoreError>>,
}

/// A record as one revision left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: u64,
    /// The record's kind.
    pub kind: Kind,
    /// The record's key.
    pub key: String,
    /// Its version; where it was deleted the last one that it had.
    pub version: u64,
    /// The record as JSON; none where it was deleted.
    pub value: Option<Arc<str>>,
}
