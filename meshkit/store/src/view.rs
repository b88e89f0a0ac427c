//! Records in memory: every read is answered here, without the backend.
//!
//! A view loads all records when it opens and then applies the store's changes in the order of their
//! revisions, one revision at a time: a reader sees a revision wholly or not at all. A reader holds
//! a lock that a writer takes only for as long as a revision needs in memory, never while something
//! is flushed to disk.

mod follow;
mod peers;
mod shards;
mod tables;

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use meshkit_model::{PeerId, Timestamp};
use tokio::sync::watch;

use crate::api::{Change, Identity, Store, StoreCopy};
use crate::audit::{AuditEntry, AuditQuery};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};
use crate::watch::Hub;

pub use peers::{PeerQuery, Peers};
pub use shards::{NamespaceShards, ShardQuery, Shards};
pub use tables::{Rows, Table, Tables, Viewed};

/// The store as modules use it: reads from memory, writes through to the backend. Cloning shares it.
#[derive(Clone)]
pub struct View(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    tables: RwLock<Tables>,
    applied: watch::Sender<u64>,
    hub: Hub,
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

impl View {
    /// Loads all records and follows the store from there on, until the last clone is dropped.
    ///
    /// # Errors
    /// What the store says when it is read, or that it holds something that cannot be read.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let revisions = store.revisions();
        let tables = follow::load(&*store).await?;
        let applied = watch::Sender::new(tables.revision());
        let hub = Hub::new(tables.revision());
        let view = Self(Arc::new(Inner { store, tables: RwLock::new(tables), applied, hub }));
        follow::spawn(Arc::downgrade(&view.0), revisions);
        Ok(view)
    }

    /// Which store this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.0.store.identity()
    }

    /// The revision that reads see now.
    #[must_use]
    pub fn revision(&self) -> u64 {
        *self.0.applied.borrow()
    }

    /// The last revision that changed more than leases, or a later one.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.read().settled()
    }

    /// Tells of every revision that reads see, the latest first.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// All records as they are at one revision. Whoever holds it keeps writers waiting, so it is for
    /// lookups and for pages.
    #[must_use]
    pub fn read(&self) -> Snapshot<'_> {
        Snapshot(self.0.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One record.
    #[must_use]
    pub fn get<R: Viewed>(&self, key: &str) -> Option<R> {
        R::rows(&self.read()).get(key).cloned()
    }

    /// Lists peers in id order.
    #[must_use]
    pub fn peers(&self, query: &PeerQuery) -> Page<meshkit_model::Peer> {
        let tables = self.read();
        tables.peers().page(query, tables.revision())
    }

    /// Lists shards in the order of namespace and id.
    #[must_use]
    pub fn shards(&self, query: &ShardQuery) -> Page<Arc<meshkit_model::Shard>> {
        let tables = self.read();
        tables.shards().page(query, tables.revision())
    }

    /// Lists records of a kind in the order of the key: at most `limit` behind the key `after`.
    #[must_use]
    pub fn list<R: Viewed<Rows = Table<R>>>(&self, after: Option<&str>, limit: u32) -> Page<R> {
        let tables = self.read();
        R::rows(&tables).page(after, limit, |_| true, tables.revision())
    }

    /// Changes records in one transaction, and waits until reads see it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit(&self, mutation: Mutation) -> Result<Committed, StoreError> {
        let committed = self.0.store.commit(mutation).await?;
        // The sender lives as long as this view.
        let mut applied = self.0.applied.subscribe();
        let _applied = applied.wait_for(|applied| *applied >= committed.revision).await;
        Ok(committed)
    }

    /// Notes when peers were heard last.
    ///
    /// # Errors
    /// As [`Store::touch`].
    pub async fn touch(&self, heard: Vec<(PeerId, Timestamp)>) -> Result<(), StoreError> {
        self.0.store.touch(heard.clone()).await?;
        let mut tables = self.0.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in heard {
            tables.peers_mut().touch(&id, at);
        }
        Ok(())
    }

    /// Learns when peers were heard last by other processes that share the store.
    ///
    /// # Errors
    /// As [`Store::touched`].
    pub async fn hear_others(&self) -> Result<(), StoreError> {
        if !self.0.store.is_shared() {
            return Ok(());
        }
        let heard = self.0.store.touched().await?;
        let mut tables = self.0.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in heard {
            tables.peers_mut().touch(&id, at);
        }
        Ok(())
    }

    /// Whether other processes write to the store too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.store.is_shared()
    }

    /// How many watch now.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.0.hub.watchers()
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// The changes after a revision in order, as [`Store::changes`].
    ///
    /// # Errors
    /// As [`Store::changes`].
    pub async fn changes(&self, after: u64, limit: u32) -> Result<Option<Vec<Change>>, StoreError> {
        self.0.store.changes(after, limit).await
    }

    /// Audit entries that a query asks for.
    ///
    /// # Errors
    /// As [`Store::audit`].
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        self.0.store.audit(query).await
    }

    /// A copy of all of it, as [`Store::copy`].
    ///
    /// # Errors
    /// As [`Store::copy`].
    pub async fn copy(&self) -> Result<Option<StoreCopy>, StoreError> {
        self.0.store.copy().await
    }
}

/// All records as they are at one revision.
pub struct Snapshot<'a>(RwLockReadGuard<'a, Tables>);

impl Deref for Snapshot<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.0
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
