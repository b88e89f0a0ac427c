//! From every released schema to the one of this program, in one transaction.

use meshkit_model::{Namespace, Peer, PeerId, Record, Shard, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};

use super::{apply, schema};
use crate::audit::{AuditEntry, Hash, Head};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether everything in a file of schema 1 can be taken over.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT revision FROM meta", [], |row| row.get::<_, u64>(0))?;
    each(connection, PEERS, |row| peer(row).map(drop))?;
    each(connection, NAMESPACES, |row| namespace(row).map(drop))?;
    each(connection, SHARDS, |row| shard(row).map(drop))?;
    each(connection, AUDIT, |row| audit(row).map(drop))
}

/// Takes a file of schema 1 over: the records and the audit, which becomes a chain. The change log
/// begins anew, so that whoever watched reads everything again.
pub(super) fn migrate(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for table in ["meta", "audit"] {
        transaction.execute_batch(&format!("ALTER TABLE {table} RENAME TO {table}_1"))?;
    }
    transaction.execute_batch("DROP TABLE changes")?;
    transaction.execute_batch(schema::TABLES)?;
    transaction.execute(
        "INSERT INTO meta SELECT 1, ?1, store_id, incarnation, revision, randomblob(32) FROM meta_1",
        params![schema::VERSION],
    )?;
    each(transaction, PEERS, |row| {
        let peer = peer(row)?;
        transaction
            .prepare_cached("INSERT INTO touched VALUES (?1, ?2)")?
            .execute(params![peer.spec.id.as_str(), peer.last_seen_at.as_millisecond()])?;
        put(transaction, &peer)
    })?;
    each(transaction, NAMESPACES, |row| put(transaction, &namespace(row)?))?;
    each(transaction, SHARDS, |row| put(transaction, &shard(row)?))?;
    let mut head = Head::START;
    each(transaction, &AUDIT.replace("audit", "audit_1"), |row| {
        let entry = audit(row)?;
        // What was forgotten before leaves a gap only at the start.
        if head == Head::START {
            head.number = entry.number - 1;
        }
        apply::insert_audit(transaction, &head.append(entry))
    })?;
    for table in ["meta_1", "audit_1", "peers", "namespaces", "shards"] {
        transaction.execute_batch(&format!("DROP TABLE {table}"))?;
    }
    schema::mark(transaction)
}

const PEERS: &str = "SELECT spec, status, registered_at, last_seen_at, record_version FROM peers";
const NAMESPACES: &str = "SELECT name, shards, service, strategy, record_version FROM namespaces";
const SHARDS: &str =
    "SELECT namespace, id, strategy, owner, status, fence, record_version, changed_at FROM shards";
const AUDIT: &str =
    "SELECT number, revision, at, actor, reason, record, before, after FROM audit ORDER BY number";

fn each(
    connection: &Connection,
    sql: &str,
    mut item: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        item(row)?;
    }
    Ok(())
}

fn put<R: Record>(connection: &Connection, record: &R) -> rusqlite::Result<()> {
    let fence = record.fence();
    let value = serde_json::to_string(record).map_err(|error| odd(0, error))?;
    connection
        .prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            R::KIND.as_str(),
            record.key(),
            record.version(),
            fence.as_ref().map(|fence| fence.number),
            fence.as_ref().map(|fence| &fence.owner),
            value,
        ])
        .map(drop)
}

fn peer(row: &Row<'_>) -> rusqlite::Result<Peer> {
    let spec: String = row.get(0)?;
    Ok(Peer {
        spec: serde_json::from_str(&spec).map_err(|error| odd(0, error))?,
        status: parsed(row, 1)?,
        registered_at: time(row, 2)?,
        last_seen_at: time(row, 3)?,
        hold: None,
        leaving: false,
        label_patch: meshkit_model::LabelPatch::new(),
        record_version: row.get(4)?,
    })
}

fn namespace(row: &Row<'_>) -> rusqlite::Result<Namespace> {
    let named = Namespace::new(row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?);
    Ok(Namespace { strategy: parsed(row, 3)?, record_version: row.get(4)?, ..named })
}

fn shard(row: &Row<'_>) -> rusqlite::Result<Shard> {
    let owner: String = row.get(3)?;
    Ok(Shard {
        namespace: row.get(0)?,
        id: row.get(1)?,
        strategy: parsed(row, 2)?,
        owner: if owner.is_empty() { None } else { Some(PeerId::new(owner).map_err(|error| odd(3, error))?) },
        status: parsed(row, 4)?,
        phase: meshkit_model::Phase::Active,
        successor: None,
        standbys: Vec::new(),
        pinned: None,
        capacity_hint: 1,
        ticket: String::new(),
        fence: row.get(5)?,
        record_version: row.get(6)?,
        changed_at: time(row, 7)?,
    })
}

fn audit(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        number: row.get(0)?,
        revision: row.get(1)?,
        at: time(row, 2)?,
        actor: row.get(3)?,
        action: String::new(),
        ticket: String::new(),
        reason: row.get(4)?,
        record: row.get(5)?,
        refused: None,
        before: row.get(6)?,
        after: Some(row.get(7)?),
        previous: Hash::START,
        hash: Hash::START,
    })
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(at)?).map_err(|error| odd(at, error))
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T::Err: Into<BoxError>,
{
    let text: String = row.get(at)?;
    text.parse().map_err(|error: T::Err| odd(at, error))
}

fn odd(column: usize, error: impl Into<BoxError>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
