//! Reading records: every function runs on a read connection or inside the writer's transaction.

use std::str::FromStr;

use meshkit_model::{Namespace, Peer, PeerId, PeerStatus, Shard, ShardStatus, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::backend;
use crate::api::{AuditEntry, Change, Page, PeerQuery, ShardQuery};
use crate::error::StoreError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const PEER: &str = "SELECT spec, status, registered_at, last_seen_at, record_version FROM peers";
const NAMESPACE: &str = "SELECT name, shards, service, strategy FROM namespaces";
const SHARD: &str =
    "SELECT namespace, id, strategy, owner, status, fence, record_version, changed_at FROM shards";

pub(super) fn peer(connection: &Connection, id: &PeerId) -> Result<Option<Peer>, StoreError> {
    connection
        .prepare_cached(&format!("{PEER} WHERE id = ?1"))
        .and_then(|mut statement| statement.query_row([id.as_str()], peer_of).optional())
        .map_err(|error| backend(&error))
}

pub(super) fn peers(connection: &Connection, query: &PeerQuery) -> Result<Page<Peer>, StoreError> {
    let status = query.status.map(PeerStatus::as_str);
    let mut clauses = Clauses::default();
    clauses.equal("role", query.role.as_ref());
    clauses.equal("service", query.service.as_ref());
    clauses.equal("cluster", query.cluster.as_ref());
    clauses.equal("status", status.as_ref());
    if let Some(after) = &query.after {
        clauses.add("id > ?", [after]);
    }
    clauses.page(connection, PEER, "id", query.limit, peer_of)
}

pub(super) fn shard(connection: &Connection, namespace: &str, id: u32) -> Result<Option<Shard>, StoreError> {
    connection
        .prepare_cached(&format!("{SHARD} WHERE namespace = ?1 AND id = ?2"))
        .and_then(|mut statement| statement.query_row((namespace, id), shard_of).optional())
        .map_err(|error| backend(&error))
}

pub(super) fn shards(connection: &Connection, query: &ShardQuery) -> Result<Page<Shard>, StoreError> {
    let status = query.status.map(ShardStatus::as_str);
    let mut clauses = Clauses::default();
    clauses.equal("namespace", query.namespace.as_ref());
    clauses.equal("owner", query.owner.as_ref());
    clauses.equal("status", status.as_ref());
    if let Some((namespace, id)) = &query.after {
        clauses.add("(namespace, id) > (?, ?)", [namespace, id]);
    }
    clauses.page(connection, SHARD, "namespace, id", query.limit, shard_of)
}

pub(super) fn namespaces(connection: &Connection) -> Result<Vec<Namespace>, StoreError> {
    let sql = format!("{NAMESPACE} ORDER BY name");
    collect(connection, &sql, &[], namespace_of).map_err(|error| backend(&error))
}

pub(super) fn audit(connection: &Connection, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = "SELECT number, revision, at, actor, reason, record, before, after
               FROM audit ORDER BY number DESC LIMIT ?1";
    let entry = |row: &Row<'_>| {
        Ok(AuditEntry {
            number: row.get(0)?,
            revision: row.get(1)?,
            at: time(row, 2)?,
            actor: row.get(3)?,
            reason: row.get(4)?,
            record: row.get(5)?,
            before: row.get(6)?,
            after: row.get(7)?,
        })
    };
    collect(connection, sql, &[&limit], entry).map_err(|error| backend(&error))
}

pub(super) fn changes(
    connection: &Connection,
    after: u64,
    limit: u32,
) -> Result<Option<Vec<Change>>, StoreError> {
    let read = || -> rusqlite::Result<Option<Vec<Change>>> {
        let snapshot = connection.unchecked_transaction()?;
        let oldest: Option<u64> =
            snapshot.query_row("SELECT min(revision) FROM changes", [], |row| row.get(0))?;
        let newest: u64 = revision(&snapshot)?;
        let complete = match oldest {
            Some(oldest) => after + 1 >= oldest,
            None => after >= newest,
        };
        // Who has seen more than there is has seen another history.
        if !complete || after > newest {
            return Ok(None);
        }
        let sql = "SELECT revision, record, version, after FROM changes
                   WHERE revision > ?1 ORDER BY revision, number LIMIT ?2";
        let change = |row: &Row<'_>| {
            Ok(Change {
                revision: row.get(0)?,
                record: row.get(1)?,
                version: row.get(2)?,
                after: row.get(3)?,
            })
        };
        collect(&snapshot, sql, &[&after, &limit], change).map(Some)
    };
    read().map_err(|error| backend(&error))
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT revision FROM meta")?.query_row([], |row| row.get(0))
}

/// Reads every record that decisions are made by, and fails at the first that cannot be.
pub(super) fn read_all(connection: &Connection) -> Result<(), StoreError> {
    let read = || -> rusqlite::Result<()> {
        revision(connection)?;
        each(connection, PEER, peer_of)?;
        each(connection, NAMESPACE, namespace_of)?;
        each(connection, SHARD, shard_of)
    };
    read().map_err(|error| backend(&error))
}

fn each<T>(
    connection: &Connection,
    sql: &str,
    item: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<()> {
    connection.prepare(sql)?.query_map([], item)?.try_for_each(|item| item.map(drop))
}

/// The conditions of a listing and what they compare with.
#[derive(Default)]
struct Clauses<'a> {
    conditions: Vec<String>,
    values: Vec<&'a dyn ToSql>,
}

impl<'a> Clauses<'a> {
    fn equal<T: ToSql>(&mut self, column: &str, value: Option<&'a T>) {
        if let Some(value) = value {
            self.add(&format!("{column} = ?"), [value]);
        }
    }

    fn add<const N: usize>(&mut self, condition: &str, values: [&'a dyn ToSql; N]) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    /// Reads one page and the revision it belongs to from one snapshot.
    fn page<T>(
        self,
        connection: &Connection,
        select: &str,
        order: &str,
        limit: u32,
        item: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Page<T>, StoreError> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        // One more than asked for tells whether more follow.
        let limit = u64::from(limit) + 1;
        let mut values: Vec<&dyn ToSql> = self.values;
        values.push(&limit);
        let mut sql = select.to_owned();
        for (at, condition) in self.conditions.iter().enumerate() {
            sql.push_str(if at == 0 { " WHERE " } else { " AND " });
            sql.push_str(condition);
        }
        sql.push_str(&format!(" ORDER BY {order} LIMIT ?"));
        let read = || -> rusqlite::Result<Page<T>> {
            let snapshot = connection.unchecked_transaction()?;
            let revision = revision(&snapshot)?;
            let mut items = collect(&snapshot, &sql, &values, item)?;
            let more = items.len() > wanted;
            items.truncate(wanted);
            Ok(Page { items, more, revision })
        };
        read().map_err(|error| backend(&error))
    }
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    item: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(values, item)?.collect()
}

fn peer_of(row: &Row<'_>) -> rusqlite::Result<Peer> {
    let spec: String = row.get(0)?;
    Ok(Peer {
        spec: serde_json::from_str(&spec).map_err(|error| odd(0, error))?,
        status: parsed(row, 1)?,
        registered_at: time(row, 2)?,
        last_seen_at: time(row, 3)?,
        record_version: row.get(4)?,
    })
}

fn shard_of(row: &Row<'_>) -> rusqlite::Result<Shard> {
    let owner: String = row.get(3)?;
    Ok(Shard {
        namespace: row.get(0)?,
        id: row.get(1)?,
        strategy: parsed(row, 2)?,
        owner: if owner.is_empty() { None } else { Some(PeerId::new(owner).map_err(|error| odd(3, error))?) },
        status: parsed(row, 4)?,
        fence: row.get(5)?,
        record_version: row.get(6)?,
        changed_at: time(row, 7)?,
    })
}

/// A namespace from the columns name, shards, service, strategy.
pub(super) fn namespace_of(row: &Row<'_>) -> rusqlite::Result<Namespace> {
    Ok(Namespace { name: row.get(0)?, shards: row.get(1)?, service: row.get(2)?, strategy: parsed(row, 3)? })
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(at)?).map_err(|error| odd(at, error))
}

fn parsed<T: FromStr>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T::Err: Into<BoxError>,
{
    let text: String = row.get(at)?;
    text.parse().map_err(|error: T::Err| odd(at, error))
}

fn odd(column: usize, error: impl Into<BoxError>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
