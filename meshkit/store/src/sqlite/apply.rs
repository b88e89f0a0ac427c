//! Applying one mutation inside a transaction: check, record, audit row, change row.

use meshkit_model::{Namespace, Peer, PeerId, Shard, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::{backend, rows};
use crate::api::{Committed, Expect, Mutation, Write};
use crate::error::StoreError;

/// How much history is kept, in rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) audit: u64,
    pub(super) changes: u64,
}

/// A written record in the words of audit and change log.
struct Written {
    record: String,
    version: u64,
    before: Option<String>,
    after: String,
}

pub(super) fn mutation(connection: &Connection, mutation: &Mutation) -> Result<Committed, StoreError> {
    if mutation.writes.len() > Mutation::MAX_WRITES {
        return Err(StoreError::Invalid(meshkit_model::Invalid::new(
            "writes",
            format!("has {} entries; at most {} are allowed", mutation.writes.len(), Mutation::MAX_WRITES),
        )));
    }
    let revision: u64 = connection
        .prepare_cached("UPDATE meta SET revision = revision + 1 RETURNING revision")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(|error| backend(&error))?;
    let mut versions = Vec::with_capacity(mutation.writes.len());
    for write in &mutation.writes {
        let written = match write {
            Write::Peer { peer, expect } => put_peer(connection, peer, *expect)?,
            Write::Namespace { namespace, expect } => put_namespace(connection, namespace, *expect)?,
            Write::Shard { shard, expect, fence } => put_shard(connection, shard, *expect, *fence)?,
        };
        log(connection, mutation, revision, &written).map_err(|error| backend(&error))?;
        versions.push(written.version);
    }
    Ok(Committed { revision, versions })
}

pub(super) fn touch(connection: &Connection, heard: &[(PeerId, Timestamp)]) -> Result<(), StoreError> {
    let touch = || -> rusqlite::Result<()> {
        let mut statement = connection
            .prepare_cached("UPDATE peers SET last_seen_at = ?2 WHERE id = ?1 AND last_seen_at < ?2")?;
        for (id, at) in heard {
            statement.execute(params![id.as_str(), at.as_millisecond()])?;
        }
        Ok(())
    };
    touch().map_err(|error| backend(&error))
}

/// Drops history beyond what is kept.
pub(super) fn forget(connection: &Connection, kept: Kept) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?1")?
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

fn log(
    connection: &Connection,
    mutation: &Mutation,
    revision: u64,
    written: &Written,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO audit (revision, at, actor, reason, record, before, after)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            revision,
            mutation.at.as_millisecond(),
            mutation.actor,
            mutation.reason,
            written.record,
            written.before,
            written.after,
        ])?;
    connection
        .prepare_cached("INSERT INTO changes (revision, record, version, after) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![revision, written.record, written.version, written.after])?;
    Ok(())
}

/// Checks the version and says the next one.
fn next_version(record: &str, expect: Expect, found: u64) -> Result<u64, StoreError> {
    let expected = match expect {
        Expect::Absent => 0,
        Expect::Version(version) => version,
    };
    // Version 0 is no version: it would let `Version(0)` mean `Absent`.
    if expected != found || expect == Expect::Version(0) {
        return Err(StoreError::Conflict {
            record: record.to_owned(),
            expected: match expect {
                Expect::Absent => "new".to_owned(),
                Expect::Version(version) => version.to_string(),
            },
            found,
        });
    }
    Ok(found + 1)
}

fn json(record: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn put_peer(connection: &Connection, peer: &Peer, expect: Expect) -> Result<Written, StoreError> {
    peer.spec.validate()?;
    let record = format!("peer/{}", peer.spec.id);
    let before = rows::peer(connection, &peer.spec.id)?;
    let version = next_version(&record, expect, before.as_ref().map_or(0, |peer| peer.record_version))?;
    let peer = Peer { record_version: version, ..peer.clone() };
    let spec = json(&peer.spec)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO peers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
        .and_then(|mut statement| {
            statement.execute(params![
                peer.spec.id.as_str(),
                peer.spec.role,
                peer.spec.service,
                peer.spec.cluster,
                peer.status.as_str(),
                peer.registered_at.as_millisecond(),
                peer.last_seen_at.as_millisecond(),
                version,
                spec,
            ])
        })
        .map_err(|error| backend(&error))?;
    Ok(Written { record, version, before: before.as_ref().map(json).transpose()?, after: json(&peer)? })
}

fn put_namespace(
    connection: &Connection,
    namespace: &Namespace,
    expect: Expect,
) -> Result<Written, StoreError> {
    namespace.validate()?;
    let record = format!("namespace/{}", namespace.name);
    let found: Option<(Namespace, u64)> = connection
        .prepare_cached(
            "SELECT name, shards, service, strategy, record_version FROM namespaces WHERE name = ?1",
        )
        .and_then(|mut statement| {
            statement
                .query_row([&namespace.name], |row| Ok((rows::namespace_of(row)?, row.get(4)?)))
                .optional()
        })
        .map_err(|error| backend(&error))?;
    let version = next_version(&record, expect, found.as_ref().map_or(0, |(_, version)| *version))?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO namespaces VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut statement| {
            statement.execute(params![
                namespace.name,
                namespace.shards,
                namespace.service,
                namespace.strategy.as_str(),
                version,
            ])
        })
        .map_err(|error| backend(&error))?;
    Ok(Written {
        record,
        version,
        before: found.map(|(before, _)| json(&before)).transpose()?,
        after: json(namespace)?,
    })
}

fn put_shard(
    connection: &Connection,
    shard: &Shard,
    expect: Expect,
    fence: u64,
) -> Result<Written, StoreError> {
    let record = format!("shard/{}/{}", shard.namespace, shard.id);
    let before = rows::shard(connection, &shard.namespace, shard.id)?;
    let version = next_version(&record, expect, before.as_ref().map_or(0, |shard| shard.record_version))?;
    let current = before.as_ref().map_or(0, |shard| shard.fence);
    let moved = before.as_ref().is_some_and(|before| before.owner != shard.owner);
    let stale = |presented| StoreError::StaleFence { record: record.clone(), presented, current };
    if fence != current {
        return Err(stale(fence));
    }
    if shard.fence < current || (moved && shard.fence == current) {
        return Err(stale(shard.fence));
    }
    let shard = Shard { record_version: version, ..shard.clone() };
    connection
        .prepare_cached("INSERT OR REPLACE INTO shards VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
        .and_then(|mut statement| {
            statement.execute(params![
                shard.namespace,
                shard.id,
                shard.strategy.as_str(),
                shard.owner.as_ref().map_or("", PeerId::as_str),
                shard.status.as_str(),
                shard.fence,
                version,
                shard.changed_at.as_millisecond(),
            ])
        })
        .map_err(|error| backend(&error))?;
    Ok(Written { record, version, before: before.as_ref().map(json).transpose()?, after: json(&shard)? })
}
