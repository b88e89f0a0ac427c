//! The tables, and the marks by which a file is known as ours.

use meshkit_model::Kind;
use rusqlite::{Connection, Transaction, params};

/// Marks a file as MeshKit's in SQLite's header: "MKIT".
pub(super) const APPLICATION_ID: u32 = 0x4d4b_4954;

/// The schema this program writes. A file with a higher one is refused.
pub(super) const VERSION: u32 = 2;

pub(super) const TABLES: &str = "
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    schema_version INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    token_key BLOB NOT NULL CHECK (length(token_key) = 32)
) STRICT;
CREATE TABLE records (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    fence INTEGER,
    owner TEXT,
    value TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE touched (
    peer TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    ticket TEXT NOT NULL,
    reason TEXT NOT NULL,
    record TEXT NOT NULL,
    refused TEXT,
    before TEXT,
    after TEXT,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    revision INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    value TEXT
) STRICT;
CREATE INDEX changes_by_revision ON changes (revision, number);
";

/// The tables of the first released schema.
pub(super) const TABLES_1: &str = "
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    schema_version INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE TABLE peers (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    service TEXT NOT NULL,
    cluster TEXT NOT NULL,
    status TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    record_version INTEGER NOT NULL,
    spec TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX peers_by_service ON peers (service, id);
CREATE TABLE namespaces (
    name TEXT PRIMARY KEY,
    shards INTEGER NOT NULL,
    service TEXT NOT NULL,
    strategy TEXT NOT NULL,
    record_version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE shards (
    namespace TEXT NOT NULL,
    id INTEGER NOT NULL,
    strategy TEXT NOT NULL,
    owner TEXT NOT NULL,
    status TEXT NOT NULL,
    fence INTEGER NOT NULL,
    record_version INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX shards_by_owner ON shards (owner, namespace, id);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    revision INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    record TEXT NOT NULL,
    before TEXT,
    after TEXT NOT NULL
) STRICT;
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    version INTEGER NOT NULL,
    after TEXT NOT NULL
) STRICT;
CREATE INDEX changes_by_revision ON changes (revision, number);
";

/// Makes a new file ours, in one transaction.
pub(super) fn create(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO meta VALUES (1, ?1, lower(hex(randomblob(16))), 1, 0, randomblob(32))",
        params![VERSION],
    )?;
    mark(transaction)
}

/// Marks the file as ours in this schema.
pub(super) fn mark(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)
}

/// The first table or index, by its name, that is gone or not as a meshkitd of schema `version`
/// makes it.
pub(super) fn missing(connection: &Connection, version: u32) -> rusqlite::Result<Option<String>> {
    let whole = |connection: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name";
        connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let ours = Connection::open_in_memory()?;
    ours.execute_batch(if version == 1 { TABLES_1 } else { TABLES })?;
    let found = whole(connection)?;
    Ok(whole(&ours)?.into_iter().find(|wanted| !found.contains(wanted)).map(|(name, _)| name))
}

/// The settings of every connection.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // Whatever a foreign hand wrote into the schema is not run.
    connection.pragma_update(None, "trusted_schema", false)
}

/// The kind in a column.
pub(super) fn kind(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Kind> {
    row.get_ref(at)?.as_str()?.parse().map_err(|error: meshkit_model::Invalid| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into())
    })
}
