//! What every store has to hold, run on a real etcd of three members: in one go, and reopened between the steps.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::sync::Arc;

use meshkit_store::{EtcdOptions, EtcdStore, Store};
use meshkit_testkit::Subject;

struct Etcd {
    options: EtcdOptions,
    store: Option<EtcdStore>,
    reopen: bool,
}

impl Etcd {
    fn new(reopen: bool) -> Self {
        Self { options: support::options(support::shared()), store: None, reopen }
    }
}

impl Subject for Etcd {
    fn keep(&mut self, rows: u64) {
        self.options.audit_kept = rows;
        self.options.changes_kept = rows;
    }

    async fn store(&mut self) -> Arc<dyn Store> {
        if self.reopen {
            self.store = None;
        }
        if self.store.is_none() {
            self.store = Some(EtcdStore::open(&self.options).await.unwrap());
        }
        Arc::new(self.store.clone().unwrap())
    }
}

meshkit_testkit::conformance!(Etcd::new);
