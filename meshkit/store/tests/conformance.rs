//! What every store has to hold, run on SQLite: in one go, and reopened between the steps.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

use std::sync::Arc;

use meshkit_store::{SqliteOptions, SqliteStore, Store};
use meshkit_testkit::Subject;

struct Sqlite {
    directory: tempfile::TempDir,
    store: Option<SqliteStore>,
    reopen: bool,
    kept: u64,
}

impl Sqlite {
    fn new(reopen: bool) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), store: None, reopen, kept: 10_000 }
    }
}

impl Subject for Sqlite {
    fn keep(&mut self, rows: u64) {
        self.kept = rows;
    }

    async fn store(&mut self) -> Arc<dyn Store> {
        if self.reopen
            && let Some(store) = self.store.take()
        {
            store.closed().await;
        }
        let mut options = SqliteOptions::new(self.directory.path().join("mesh store?.db"));
        options.changes_kept = self.kept;
        options.audit_kept = self.kept;
        let open = || SqliteStore::open(&options).unwrap();
        Arc::new(self.store.get_or_insert_with(open).clone())
    }
}

meshkit_testkit::conformance!(Sqlite::new);
