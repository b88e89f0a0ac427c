//! Where the mesh's records live: one trait, one conformance suite, SQLite embedded.
//!
//! Read first: [`Store`] is the seam that every module stands on; [`Mutation`] is the only way to
//! change a record; [`SqliteStore`] keeps it all in one file without set-up.
//!
//! Every mutation is one transaction: version check, fence check, record, audit row, change row.
//! When it is acknowledged it is on disk. Reads never wait for the writer.

mod api;
mod cursor;
mod error;
mod sqlite;

pub use api::{
    AuditEntry, Change, Committed, Expect, Identity, Mutation, Page, PeerQuery, ShardQuery, Store,
    StoreFuture, Write,
};
pub use cursor::Cursor;
pub use error::StoreError;
pub use sqlite::{SqliteOptions, SqliteStore};
