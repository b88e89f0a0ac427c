//! The store in one SQLite file: no set-up, one process.

mod apply;
mod backup;
mod inspect;
mod migrate;
mod open;
mod readers;
mod rows;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshkit_model::{Kind, PeerId, Timestamp};
use omnirelay_runtime::{ErrorKind, OperatorError};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::api::{Change, Entry, Identity, Loading, Store, StoreCopy, StoreFuture};
use crate::audit::{AuditEntry, AuditQuery};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};
pub use backup::{Restore, Restored};
use readers::Readers;
use writer::Writer;

/// Where the file is, and how much history it keeps.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The database file. Its directory must exist; `-wal`, `-shm` and `.lock` files lie beside it.
    pub path: PathBuf,
    /// How many audit entries are kept.
    pub audit_kept: u64,
    /// How many change rows are kept.
    pub changes_kept: u64,
}

impl SqliteOptions {
    /// A file with 100 000 audit entries and as many changes kept.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), audit_kept: 100_000, changes_kept: 100_000 }
    }
}

/// The store in one SQLite file, in WAL mode with `synchronous=FULL`: one writer thread that
/// commits whatever queued up as one group, and read connections that never wait for it.
///
/// Cloning shares it. When the last clone is gone the writer has finished and the file is closed.
#[derive(Clone, Debug)]
pub struct SqliteStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    identity: Identity,
    path: PathBuf,
    copying: tokio::sync::Mutex<()>,
    damage: watch::Sender<Option<String>>,
    // Fields are dropped in this order: the writer is the last to close the file, since only it can
    // fold the write-ahead log into it, and the lock is given back when nobody has it open.
    readers: Readers,
    writer: Writer,
    _lock: open::Lock,
    /// Goes last: whoever watches it knows that the file is closed.
    open: watch::Sender<()>,
}

impl SqliteStore {
    /// Opens the file, or makes it. Blocks for some milliseconds, and longer where there is much to check: all of
    /// the file is read.
    ///
    /// # Errors
    /// Says clearly, and without having touched the file, that it is damaged, is not ours, was
    /// made by a newer meshkitd, is in use by another one, or cannot be reached or written.
    pub fn open(options: &SqliteOptions) -> Result<Self, OperatorError> {
        let opened = open::open(&options.path)?;
        Ok(Self(Arc::new(Inner {
            writer: Writer::start(opened.connection, opened.revision, options)?,
            readers: Readers::new(options.path.clone()),
            identity: opened.identity,
            path: options.path.clone(),
            copying: tokio::sync::Mutex::default(),
            damage: watch::Sender::new(None),
            _lock: opened.lock,
            open: watch::Sender::new(()),
        })))
    }

    /// Gives this clone up and waits until the last one is gone and the file is closed.
    pub async fn closed(self) {
        let mut open = self.0.open.subscribe();
        drop(self);
        while open.changed().await.is_ok() {}
    }

    /// Copies the store as it is now to a file that does not exist yet, and says the revision of the
    /// copy. Reads and writes go on meanwhile. The file appears whole or not at all, can be read by
    /// its owner alone, and holds the store's secrets.
    ///
    /// # Errors
    /// A file that is there already or cannot be written, or a store that cannot be read.
    pub async fn backup(&self, to: &Path) -> Result<u64, OperatorError> {
        let (path, target) = (to.to_owned(), to.display().to_string());
        let read = move |connection: &Connection| Ok(backup::backup(connection, &path));
        match self.0.readers.run(read).await {
            Ok(outcome) => outcome,
            Err(error) => Err(OperatorError::new(ErrorKind::Io, "the store cannot be read for a backup")
                .at(target)
                .caused_by(&error)
                .hint("meshkitd's log and its disk tell why")),
        }
    }

    /// Makes a store at `to` of a backup of this or an older version. It is a new incarnation: who watched
    /// before has to read everything anew. Its audit says who restored it. Blocks while files are read and
    /// written.
    ///
    /// # Errors
    /// A backup that is damaged, foreign or newer, a store that is in use, or is there already and not to be
    /// replaced, or a disk that cannot be written.
    pub fn restore(backup: &Path, to: &Path, how: &Restore<'_>) -> Result<Restored, OperatorError> {
        backup::restore(backup, to, how)
    }

    fn read<T, F>(&self, read: F) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Box::pin(async move { self.noted(self.0.readers.run(read).await) })
    }

    /// Waits until the store meets something in its file that it cannot read, and says what: who
    /// composes the store should stop then, since answers may be wrong from there on.
    pub async fn damaged(&self) -> String {
        let mut damage = self.0.damage.subscribe();
        // The sender lives as long as this store.
        let found = damage.wait_for(Option::is_some).await;
        found.ok().and_then(|found| found.clone()).unwrap_or_default()
    }

    fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(what)) = &outcome {
            self.0.damage.send_replace(Some(what.clone()));
        }
        outcome
    }
}

impl Store for SqliteStore {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.0.writer.revisions()
    }

    fn load(&self, kinds: &'static [Kind]) -> StoreFuture<'_, Loading> {
        Box::pin(async move {
            let (begin, begun) = oneshot::channel();
            let store = self.clone();
            let reading = omnirelay_runtime::spawn("store-load", async move {
                let read = move |connection: &Connection| rows::load(connection, kinds, begin);
                store.noted(store.0.readers.run(read).await)
            });
            if let Ok(loading) = begun.await {
                return Ok(loading);
            }
            // It ended before it began, so there is an error to tell.
            let gone = || StoreError::Unavailable("it is closing".to_owned());
            reading.await.map_err(|_| gone())?.and_then(|()| Err(gone()))
        })
    }

    fn get(&self, kind: Kind, key: String) -> StoreFuture<'_, Option<Entry>> {
        self.read(move |connection| rows::get(connection, kind, key))
    }

    fn commit(&self, mutation: Mutation) -> StoreFuture<'_, Committed> {
        Box::pin(async move { self.noted(self.0.writer.commit(mutation).await) })
    }

    fn changes(&self, after: u64, limit: u32) -> StoreFuture<'_, Option<Vec<Change>>> {
        self.read(move |connection| rows::changes(connection, after, limit))
    }

    fn audit(&self, query: AuditQuery) -> StoreFuture<'_, Vec<AuditEntry>> {
        self.read(move |connection| rows::audit(connection, &query))
    }

    fn touch(&self, heard: Vec<(PeerId, Timestamp)>) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.noted(self.0.writer.touch(heard).await) })
    }

    fn touched(&self) -> StoreFuture<'_, Vec<(PeerId, Timestamp)>> {
        self.read(rows::touched)
    }

    fn copy(&self) -> StoreFuture<'_, Option<StoreCopy>> {
        Box::pin(async move {
            let _turn = self.0.copying.lock().await;
            let place = self.0.path.clone();
            let read = move |connection: &Connection| backup::copied(connection, &place);
            self.0.readers.run(read).await.map(Some)
        })
    }
}

/// What SQLite says, as the store's error: what the disk refuses is apart from what is broken.
fn backend(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch};
    let broken = match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, DatabaseCorrupt | NotADatabase | TypeMismatch)
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => true,
        _ => false,
    };
    if broken { StoreError::Damaged(error.to_string()) } else { StoreError::Unavailable(error.to_string()) }
}
