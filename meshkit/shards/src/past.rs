//! What changed: between two revisions, and of one shard.

use std::collections::BTreeMap;

use meshkit_api::{invalid, page_size, store_status};
use meshkit_model::{Invalid, Kind, Shard, Timestamp};
use meshkit_store::Change;
use meshkit_store::audit::AuditQuery;
use relay_core::{Code, Status};

use crate::owners::name;
use crate::shards::Shards;

/// Changes read at once.
const READ: u32 = 4_096;
/// The most shards that a difference tells of.
const MAX_DIFF: usize = 1_000;

/// What is different between two revisions.
pub(crate) struct Diff {
    /// By place: what it is now, none where it is gone.
    pub(crate) changes: Vec<Difference>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) truncated: bool,
}

/// One shard that is different.
pub(crate) struct Difference {
    pub(crate) namespace: String,
    pub(crate) id: u32,
    /// Not known where no earlier change is kept.
    pub(crate) before: Option<Shard>,
    pub(crate) after: Option<Shard>,
}

/// One change of a shard.
pub(crate) struct Past {
    pub(crate) revision: u64,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) reason: String,
    pub(crate) ticket: String,
    pub(crate) shard: Option<Shard>,
}

impl Shards {
    /// What changed behind `from` up to `to`, 0 for now; each shard once, however often it changed.
    pub(crate) async fn diff(&self, namespace: &str, from: u64, to: u64) -> Result<Diff, Status> {
        let now = self.view.revision();
        let to = if to == 0 { now } else { to };
        if from > to || to > now {
            let problem = format!("is {from} to {to}; the store is at revision {now}");
            return Err(invalid(&Invalid::new("from", problem)));
        }
        let mut found: BTreeMap<(String, u32), Option<Shard>> = BTreeMap::new();
        let mut truncated = false;
        let mut after = from;
        while after < to {
            let changes = self.view.changes(after, READ).await.map_err(|error| store_status(&error))?;
            let changes = changes.ok_or_else(|| forgotten(from))?;
            let Some(last) = changes.last() else { break };
            after = last.revision;
            for change in changes.iter().filter(|change| change.revision <= to && change.kind == Kind::Shard)
            {
                let Some((of, id)) = Shard::place_of(&change.key) else { continue };
                if !namespace.is_empty() && of != namespace {
                    continue;
                }
                let place = (of.to_owned(), id);
                if found.len() >= MAX_DIFF && !found.contains_key(&place) {
                    truncated = true;
                    continue;
                }
                found.insert(place, shard_of(change)?);
            }
        }
        let mut changes = Vec::with_capacity(found.len());
        for ((namespace, id), after) in found {
            let before = self.before(&namespace, id, from).await?;
            changes.push(Difference { namespace, id, before, after });
        }
        Ok(Diff { changes, from, to, truncated })
    }

    /// A shard as it was at a revision, by the audit of its changes.
    async fn before(&self, namespace: &str, id: u32, revision: u64) -> Result<Option<Shard>, Status> {
        let query = AuditQuery { record: Some(name(namespace, id)), limit: 256, ..AuditQuery::default() };
        let entries = self.view.audit(query).await.map_err(|error| store_status(&error))?;
        // Newest first: the last one of them is the first change behind that revision.
        let mut later =
            entries.into_iter().rev().filter(|entry| entry.refused.is_none() && entry.revision > revision);
        let first = later.next();
        Ok(first.and_then(|entry| entry.before).and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The newest changes of one shard, newest first.
    pub(crate) async fn history(&self, namespace: &str, id: u32, limit: u32) -> Result<Vec<Past>, Status> {
        let limit = page_size(limit)?;
        let query = AuditQuery {
            record: Some(name(namespace, id)),
            refused: Some(false),
            limit,
            ..AuditQuery::default()
        };
        let entries = self.view.audit(query).await.map_err(|error| store_status(&error))?;
        if entries.is_empty() {
            // What is not there has no past either, unless it was deleted.
            self.get(namespace, id)?;
        }
        let past = |entry: meshkit_store::audit::AuditEntry| Past {
            revision: entry.revision,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            reason: entry.reason,
            ticket: entry.ticket,
            shard: entry.after.and_then(|text| serde_json::from_str(&text).ok()),
        };
        Ok(entries.into_iter().map(past).collect())
    }
}

fn shard_of(change: &Change) -> Result<Option<Shard>, Status> {
    let Some(value) = &change.value else { return Ok(None) };
    let shard = serde_json::from_str(value)
        .map_err(|error| Status::new(Code::DataLoss, format!("{} cannot be read: {error}", change.key)))?;
    Ok(Some(shard))
}

fn forgotten(from: u64) -> Status {
    Status::new(Code::OutOfRange, format!("the changes since revision {from} are no longer kept"))
        .with_hint("list the shards anew, and compare from that listing's revision on")
}
