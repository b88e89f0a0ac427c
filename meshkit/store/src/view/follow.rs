//! Keeping a view as the store is.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::{Inner, Tables};
use crate::api::{Change, Store};
use crate::error::StoreError;

/// Changes read at once.
const BATCH: u32 = 1_024;
/// How long to leave the store alone after it failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads all records.
pub(super) async fn load(store: &dyn Store) -> Result<Tables, StoreError> {
    let mut tables = Tables::default();
    let mut loading = store.load(Tables::KINDS).await?;
    while let Some(chunk) = loading.chunks.recv().await {
        for entry in chunk? {
            tables.load(&entry)?;
        }
    }
    for (id, at) in store.touched().await? {
        tables.peers_mut().touch(&id, at);
    }
    tables.loaded(loading.revision);
    Ok(tables)
}

/// Applies whatever the store tells, for as long as there are a view and a store.
pub(super) fn spawn(view: Weak<Inner>, mut revisions: watch::Receiver<u64>) {
    omnirelay_runtime::spawn("store-view", async move {
        loop {
            revisions.mark_unchanged();
            let Some(inner) = view.upgrade() else { return };
            let outcome = inner.catch_up().await;
            drop(inner);
            match outcome {
                Ok(()) => {
                    if revisions.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    warn!(%error, "the store cannot be followed; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
}

impl Inner {
    async fn catch_up(&self) -> Result<(), StoreError> {
        let newest = self.store.revisions();
        loop {
            // The tables, since a batch that failed half-way is not told of.
            let applied = self.tables.read().unwrap_or_else(PoisonError::into_inner).revision();
            if applied == *newest.borrow() {
                return Ok(());
            }
            match self.store.changes(applied, BATCH).await? {
                Some(changes) if changes.is_empty() => return Ok(()),
                Some(changes) => self.apply(&changes)?,
                None => self.reload().await?,
            }
        }
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        for revision in changes.chunk_by(|a, b| a.revision == b.revision) {
            let Some(last) = revision.last() else { continue };
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            let mut events = Vec::new();
            // Who begins to watch meanwhile reads history first.
            let is_watched = !self.hub.is_idle();
            for (index, change) in revision.iter().enumerate() {
                match is_watched {
                    true => events.push(Arc::new(tables.apply_as_event(change, index)?)),
                    false => tables.apply(change)?,
                }
            }
            tables.set_revision(last.revision, revision);
            drop(tables);
            self.hub.publish(last.revision, is_watched.then_some(&events));
        }
        // Once for all of them: everyone who waits for a write of its own is woken by it.
        if let Some(last) = changes.last() {
            self.applied.send_replace(last.revision);
        }
        Ok(())
    }

    /// Where the changes since then are no longer kept.
    async fn reload(&self) -> Result<(), StoreError> {
        let tables = load(&*self.store).await?;
        let revision = tables.revision();
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = tables;
        self.hub.publish(revision, None);
        self.applied.send_replace(revision);
        Ok(())
    }
}
