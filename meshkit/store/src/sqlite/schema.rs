//! The tables, and the marks by which a file is known as ours.

use rusqlite::{Connection, Transaction};

/// Marks a file as MeshKit's in SQLite's header: "MKIT".
pub(super) const APPLICATION_ID: u32 = 0x4d4b_4954;

/// The schema this program writes. A file with a higher one is refused.
pub(super) const VERSION: u32 = 1;

const TABLES: &str = "
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
    transaction.execute("INSERT INTO meta VALUES (1, ?1, lower(hex(randomblob(16))), 1, 0)", [VERSION])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)
}

/// The first table or index, by its name, that is gone or not as [`create`] makes it.
pub(super) fn missing(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let whole = |connection: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name";
        connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let ours = Connection::open_in_memory()?;
    ours.execute_batch(TABLES)?;
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
