//! Where the mesh's records live: one trait, one conformance suite, SQLite embedded or etcd shared.
//!
//! Read first: [`Store`] is the seam between the mesh and whatever keeps its records; [`Mutation`]
//! is the only way to change one, and [`Write::admit`] the rule by which every backend takes or
//! refuses it; [`View`] is what modules read and write through, and [`Watch`] how they follow it; [`SqliteStore`] keeps it all in one
//! file without set-up, [`EtcdStore`] in etcd for several nodes.
//!
//! Every mutation is one transaction: version check, fence check, record, audit row, change row.
//! When it is acknowledged it is on disk. Reads come from memory and never wait for the writer.

mod api;
pub mod audit;
mod cursor;
mod error;
mod etcd;
mod mutation;
mod sqlite;
mod view;
mod watch;
mod write;

pub use api::{Change, Entry, Identity, Loading, Store, StoreCopy, StoreFuture, TokenKey};
pub use cursor::Cursor;
pub use error::StoreError;
pub use etcd::{EtcdOptions, EtcdStore};
pub use meshkit_etcd::{Config as EtcdConfig, UserConfig as EtcdUser};
pub use mutation::{Committed, Mutation, Refused};
pub use sqlite::{Restore, Restored, SqliteOptions, SqliteStore};
pub use view::{
    NamespaceShards, Page, PeerQuery, Peers, Rows, ShardQuery, Shards, Snapshot, Table, Tables, View, Viewed,
};
pub use watch::{Event, Filter, Form, Position, Start, Told, Watch};
pub use write::{Delete, Expect, Fencing, Guard, Holds, Put, Standing, Write};
