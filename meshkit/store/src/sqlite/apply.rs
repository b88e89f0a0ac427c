//! Applying one mutation inside a transaction: check, record, audit row, change row.

use meshkit_model::{Kind, PeerId, Timestamp};
use rusqlite::{Connection, params};

use super::backend;
use super::rows::{self, Stored};
use crate::api::Change;
use crate::audit::{AuditEntry, Head};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};
use crate::write::{Put, Standing, Write};

/// How much history is kept, in rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) audit: u64,
    pub(super) changes: u64,
}

/// Applies a mutation, or says why not; then the caller rolls back.
pub(super) fn mutation(connection: &Connection, mutation: &Mutation) -> Result<Committed, StoreError> {
    mutation.check()?;
    let mut head = rows::head(connection).map_err(|error| backend(&error))?;
    let revision =
        if mutation.changes_records() { next_revision(connection) } else { rows::revision(connection) };
    let revision = revision.map_err(|error| backend(&error))?;
    if let Some(entry) = head.refuse(mutation, revision) {
        insert_audit(connection, &entry).map_err(|error| backend(&error))?;
    }
    let mut versions = Vec::with_capacity(mutation.writes.len());
    for write in &mutation.writes {
        versions.push(apply(connection, mutation, write, revision, &mut head)?);
    }
    Ok(Committed { revision, versions })
}

fn apply(
    connection: &Connection,
    mutation: &Mutation,
    write: &Write,
    revision: u64,
    head: &mut Head,
) -> Result<u64, StoreError> {
    let failed = |error| backend(&error);
    let (kind, key) = (write.kind(), write.key());
    let stored = rows::stored(connection, kind, key).map_err(failed)?;
    if let Some(stored) = &stored {
        rows::checked(kind, key, stored.version, &stored.value)?;
    }
    let version = write.admit(stored.as_ref().map(standing))?;
    let after = match write {
        Write::Guard(_) => return Ok(version),
        Write::Put(new) => {
            put(connection, new, version).map_err(failed)?;
            Some(&new.value)
        }
        Write::Delete(_) => {
            delete(connection, kind, key).map_err(failed)?;
            None
        }
    };
    if mutation.audits(kind) {
        let before = stored.map(|stored| stored.value);
        let entry = head.record(mutation, revision, write, before, after.map(ToString::to_string));
        insert_audit(connection, &entry).map_err(failed)?;
    }
    let change = Change { revision, kind, key: key.to_owned(), version, value: after.cloned() };
    insert_change(connection, &change).map_err(failed)?;
    Ok(version)
}

fn standing(stored: &Stored) -> Standing<'_> {
    let owner = stored.owner.as_deref().unwrap_or_default();
    Standing { version: stored.version, fence: stored.fence.map(|number| (number, owner)) }
}

fn next_revision(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("UPDATE meta SET revision = revision + 1 RETURNING revision")?
        .query_row([], |row| row.get(0))
}

fn put(connection: &Connection, put: &Put, version: u64) -> rusqlite::Result<()> {
    let next = put.fence.as_ref().map(|fencing| &fencing.next);
    connection
        .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            put.kind.as_str(),
            put.key,
            version,
            next.map(|fence| fence.number),
            next.map(|fence| &fence.owner),
            &*put.value,
        ])
        .map(drop)
}

fn delete(connection: &Connection, kind: Kind, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?
        .execute(params![kind.as_str(), key])?;
    if kind == Kind::Peer {
        connection.prepare_cached("DELETE FROM touched WHERE peer = ?1")?.execute([key])?;
    }
    Ok(())
}

pub(super) fn insert_audit(connection: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")?
        .execute(params![
            entry.number,
            entry.revision,
            entry.at.as_millisecond(),
            entry.actor,
            entry.action,
            entry.ticket,
            entry.reason,
            entry.record,
            entry.refused,
            entry.before,
            entry.after,
            entry.previous.0,
            entry.hash.0,
        ])
        .map(drop)
}

fn insert_change(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO changes (revision, kind, key, version, value) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            change.revision,
            change.kind.as_str(),
            change.key,
            change.version,
            change.value.as_deref()
        ])
        .map(drop)
}

pub(super) fn touch(connection: &Connection, heard: &[(PeerId, Timestamp)]) -> Result<(), StoreError> {
    let touch = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO touched SELECT key, ?2 FROM records WHERE kind = 'peer' AND key = ?1
             ON CONFLICT (peer) DO UPDATE SET at = max(at, excluded.at)",
        )?;
        for (id, at) in heard {
            statement.execute(params![id.as_str(), at.as_millisecond()])?;
        }
        Ok(())
    };
    touch().map_err(|error| backend(&error))
}

/// Drops history beyond what is kept. The newest audit entry stays: the next one is chained to it.
pub(super) fn forget(connection: &Connection, kept: Kept) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - max(?1, 1)")?
        .execute([kept.audit])?;
    // A revision goes as a whole, so that what is kept begins with a whole one.
    connection
        .prepare_cached(
            "DELETE FROM changes WHERE revision <= (SELECT revision FROM changes
             WHERE number <= (SELECT max(number) FROM changes) - ?1 ORDER BY number DESC LIMIT 1)",
        )?
        .execute([kept.changes])?;
    Ok(())
}
