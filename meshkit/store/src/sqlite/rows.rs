//! Reading rows: every function runs on a read connection or inside the writer's transaction.

use std::sync::Arc;

use meshkit_model::{Kind, PeerId, Timestamp};
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use tokio::sync::{mpsc, oneshot};

use super::backend;
use super::schema::kind;
use crate::api::{Change, Entry, Identity, Loading, TokenKey};
use crate::audit::{AuditEntry, AuditQuery, Hash, Head};
use crate::error::StoreError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Records of one chunk.
const CHUNK: usize = 1024;
/// Chunks that wait for the one who loads.
const CHUNKS_AHEAD: usize = 4;

const AUDIT: &str =
    "SELECT number, revision, at, actor, action, ticket, reason, record, refused, before, after,
                     previous, hash FROM audit";

/// What stands in the store under a key: enough to admit a write and to audit it.
pub(super) struct Stored {
    pub(super) version: u64,
    pub(super) fence: Option<u64>,
    pub(super) owner: Option<String>,
    pub(super) value: String,
}

pub(super) fn stored(connection: &Connection, kind: Kind, key: &str) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached("SELECT version, fence, owner, value FROM records WHERE kind = ?1 AND key = ?2")?
        .query_row(params![kind.as_str(), key], |row| {
            Ok(Stored { version: row.get(0)?, fence: row.get(1)?, owner: row.get(2)?, value: row.get(3)? })
        })
        .optional()
}

pub(super) fn get(connection: &Connection, kind: Kind, key: String) -> Result<Option<Entry>, StoreError> {
    let Some(found) = stored(connection, kind, &key).map_err(|error| backend(&error))? else {
        return Ok(None);
    };
    checked(kind, &key, found.version, &found.value)?;
    Ok(Some(Entry { kind, key, version: found.version, value: found.value.into() }))
}

/// A record that is not what its kind looks like was not written by us.
pub(super) fn checked(kind: Kind, key: &str, version: u64, value: &str) -> Result<(), StoreError> {
    kind.check(key, version, value)
        .map_err(|problem| StoreError::Damaged(format!("{kind}/{key} cannot be read: {problem}")))
}

pub(super) fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    connection.query_row("SELECT store_id, incarnation, token_key FROM meta", [], |row| {
        let token_key = TokenKey::new(row.get(2)?);
        Ok(Identity { id: row.get(0)?, incarnation: row.get(1)?, token_key })
    })
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT revision FROM meta")?.query_row([], |row| row.get(0))
}

/// Sends all records of some kinds as one snapshot: `begin` where it begins, then the chunks, until
/// they end or nobody takes them.
pub(super) fn load(
    connection: &Connection,
    kinds: &[Kind],
    begin: oneshot::Sender<Loading>,
) -> Result<(), StoreError> {
    let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let snapshot = connection.unchecked_transaction().map_err(|error| backend(&error))?;
    let revision = revision(&snapshot).map_err(|error| backend(&error))?;
    if begin.send(Loading { revision, chunks }).is_err() {
        return Ok(());
    }
    let send = |chunk| sender.blocking_send(chunk).is_ok();
    for kind in kinds {
        if let Err(error) = each(&snapshot, *kind, |chunk| send(Ok(chunk))) {
            let error = backend(&error);
            send(Err(error.clone()));
            return Err(error);
        }
    }
    Ok(())
}

/// All records of a kind in chunks, for as long as they are taken.
fn each(connection: &Connection, kind: Kind, take: impl Fn(Vec<Entry>) -> bool) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT key, version, value FROM records WHERE kind = ?1 ORDER BY key")?;
    let mut rows = statement.query([kind.as_str()])?;
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(row) = rows.next()? {
        let value: Arc<str> = row.get_ref(2)?.as_str()?.into();
        chunk.push(Entry { kind, key: row.get(0)?, version: row.get(1)?, value });
        if chunk.len() == CHUNK && !take(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))) {
            return Ok(());
        }
    }
    if !chunk.is_empty() {
        take(chunk);
    }
    Ok(())
}

pub(super) fn touched(connection: &Connection) -> Result<Vec<(PeerId, Timestamp)>, StoreError> {
    let one = |row: &Row<'_>| {
        let id: String = row.get(0)?;
        Ok((PeerId::new(id).map_err(|error| odd(0, error))?, time(row, 1)?))
    };
    collect(connection, "SELECT peer, at FROM touched", vec![], one).map_err(|error| backend(&error))
}

pub(super) fn audit(connection: &Connection, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
    let mut clauses = Clauses::default();
    clauses.equal("actor = ?", query.actor.as_ref());
    clauses.equal("action = ?", query.action.as_ref());
    clauses.equal("ticket = ?", query.ticket.as_ref());
    clauses.equal("record = ?", query.record.as_ref());
    if let Some(kind) = query.kind {
        // The record begins with `kind/`, and `0` is what follows `/`.
        clauses.add("record >= ?", format!("{kind}/").into());
        clauses.add("record < ?", format!("{kind}0").into());
    }
    match query.refused {
        Some(true) => clauses.conditions.push("refused IS NOT NULL"),
        Some(false) => clauses.conditions.push("refused IS NULL"),
        None => {}
    }
    if let Some(from) = query.from {
        clauses.add("at >= ?", from.as_millisecond().into());
    }
    if let Some(until) = query.until {
        clauses.add("at < ?", until.as_millisecond().into());
    }
    if let Some(after) = query.after {
        let beyond = if query.oldest_first { "number > ?" } else { "number < ?" };
        clauses.add(beyond, i64::try_from(after).unwrap_or(i64::MAX).into());
    }
    let order = if query.oldest_first { "ASC" } else { "DESC" };
    let (sql, values) = clauses.select(AUDIT, &format!("number {order}"), query.limit);
    collect(connection, &sql, values, audit_entry).map_err(|error| backend(&error))
}

/// Where the audit's chain stands.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    let head = connection
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok(Head { number: row.get(0)?, hash: Hash(row.get(1)?) }))
        .optional()?;
    Ok(head.unwrap_or(Head::START))
}

pub(super) fn changes(
    connection: &Connection,
    after: u64,
    limit: u32,
) -> Result<Option<Vec<Change>>, StoreError> {
    let read = || -> rusqlite::Result<Option<Vec<Change>>> {
        let snapshot = connection.unchecked_transaction()?;
        let oldest: Option<u64> =
            snapshot.prepare_cached("SELECT min(revision) FROM changes")?.query_row([], |row| row.get(0))?;
        let newest: u64 = revision(&snapshot)?;
        let complete = match oldest {
            Some(oldest) => after + 1 >= oldest,
            None => after >= newest,
        };
        // Who has seen more than there is has seen another history.
        if !complete || after > newest {
            return Ok(None);
        }
        // The last revision comes whole: who applies changes must not stop within one.
        let sql = "SELECT revision, kind, key, version, value FROM changes
                   WHERE revision > ?1 AND revision <= coalesce(
                       (SELECT revision FROM changes WHERE revision > ?1
                        ORDER BY revision, number LIMIT 1 OFFSET ?2), ?3)
                   ORDER BY revision, number";
        let change = |row: &Row<'_>| {
            Ok(Change {
                revision: row.get(0)?,
                kind: kind(row, 1)?,
                key: row.get(2)?,
                version: row.get(3)?,
                value: row.get_ref(4)?.as_str_or_null()?.map(Arc::from),
            })
        };
        let last = i64::from(limit.max(1)) - 1;
        let mut statement = snapshot.prepare_cached(sql)?;
        let changes = statement.query_map(params![after, last, newest], change)?;
        changes.collect::<rusqlite::Result<_>>().map(Some)
    };
    read().map_err(|error| backend(&error))
}

/// Reads all that a start needs, so that what cannot be read is found before anything is written.
pub(super) fn read_all(connection: &Connection) -> Result<(), StoreError> {
    let open = || -> rusqlite::Result<()> {
        identity(connection)?;
        revision(connection).map(drop)
    };
    open().map_err(|error| backend(&error))?;
    touched(connection)?;
    let mut statement = connection
        .prepare("SELECT kind, key, version, value FROM records")
        .map_err(|error| backend(&error))?;
    let mut rows = statement.query([]).map_err(|error| backend(&error))?;
    while let Some(row) = rows.next().map_err(|error| backend(&error))? {
        let read = || Ok((kind(row, 0)?, row.get_ref(1)?.as_str()?, row.get(2)?, row.get_ref(3)?.as_str()?));
        let (kind, key, version, value) = read().map_err(|error: rusqlite::Error| backend(&error))?;
        checked(kind, key, version, value)?;
    }
    Ok(())
}

/// The conditions of a listing and what they compare with.
#[derive(Default)]
struct Clauses {
    conditions: Vec<&'static str>,
    values: Vec<Value>,
}

impl Clauses {
    fn equal(&mut self, condition: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(condition, value.clone().into());
        }
    }

    fn add(&mut self, condition: &'static str, value: Value) {
        self.conditions.push(condition);
        self.values.push(value);
    }

    fn select(mut self, select: &str, order: &str, limit: u32) -> (String, Vec<Value>) {
        let mut sql = select.to_owned();
        for (at, condition) in self.conditions.iter().enumerate() {
            sql.push_str(if at == 0 { " WHERE " } else { " AND " });
            sql.push_str(condition);
        }
        sql.push_str(&format!(" ORDER BY {order} LIMIT ?"));
        self.values.push(i64::from(limit).into());
        (sql, self.values)
    }
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    item: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params_from_iter(values), item)?.collect()
}

fn audit_entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        number: row.get(0)?,
        revision: row.get(1)?,
        at: time(row, 2)?,
        actor: row.get(3)?,
        action: row.get(4)?,
        ticket: row.get(5)?,
        reason: row.get(6)?,
        record: row.get(7)?,
        refused: row.get(8)?,
        before: row.get(9)?,
        after: row.get(10)?,
        previous: Hash(row.get(11)?),
        hash: Hash(row.get(12)?),
    })
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(at)?).map_err(|error| odd(at, error))
}

fn odd(column: usize, error: impl Into<BoxError>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
