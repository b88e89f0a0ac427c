//! What changed.

use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{Shard, ShardDiff, ShardHistoryEntry};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::super::reading::{self, ago, at};
use super::{phase, record};
use crate::args::{ShardHistory, ShardsDiff};
use crate::output;
use crate::table::Table;

/// Shows what changed between two revisions.
pub(crate) fn diff(context: Option<&Path>, args: &ShardsDiff) -> Result<()> {
    let namespace = &args.of.namespace;
    let diff =
        reading::call(context, async |client| client.diff_shards(namespace, args.from, args.to).await)?;
    let diff = diff.value;
    match args.of.shown.output.notation() {
        Some(notation) => {
            let change = |one: &ShardDiff| {
                json!({
                    "namespace": one.shard_namespace,
                    "id": one.id,
                    "before": one.before.as_ref().map(record),
                    "after": one.after.as_ref().map(record),
                })
            };
            output::print_document(
                notation,
                &json!({
                    "changes": diff.changes.iter().map(change).collect::<Vec<Value>>(),
                    "from": diff.from_revision,
                    "to": diff.to_revision,
                    "truncated": diff.truncated,
                }),
            )
        }
        None => {
            output::print(&diff_table(&diff.changes).render(0, args.of.shown.output.look()))?;
            let more = if diff.truncated { ", and more than these" } else { "" };
            let (count, from, to) = (diff.changes.len(), diff.from_revision, diff.to_revision);
            output::note(&format!("{count} shards changed behind revision {from} up to {to}{more}"));
            Ok(())
        }
    }
}

pub(super) fn diff_table(changes: &[ShardDiff]) -> Table {
    let mut table =
        Table::new(&["NAMESPACE", ">ID", "OWNER", "PHASE", ">FENCE", "+STANDBYS", "+PINNED", "+>RECORD"]);
    for one in changes {
        let (before, after) = (one.before.as_ref(), one.after.as_ref());
        table.row([
            one.shard_namespace.clone(),
            one.id.to_string(),
            step(before, after, |shard| shard.owner.clone()),
            step(before, after, |shard| phase(shard).to_owned()),
            step(before, after, |shard| shard.fence.to_string()),
            step(before, after, |shard| shard.standbys.join(",")),
            step(before, after, |shard| shard.pinned.clone()),
            step(before, after, |shard| shard.record_version.to_string()),
        ]);
    }
    table
}

/// What a cell was and is; once where it is the same.
fn step(before: Option<&Shard>, after: Option<&Shard>, cell: impl Fn(&Shard) -> String) -> String {
    let named =
        |shard: Option<&Shard>| shard.map(&cell).filter(|text| !text.is_empty()).unwrap_or("-".to_owned());
    let (was, is) = (named(before), named(after));
    if was == is { is } else { format!("{was} -> {is}") }
}

/// Shows the changes of one shard.
pub(crate) fn history(context: Option<&Path>, args: &ShardHistory) -> Result<()> {
    let call = async |client: &meshkit_client::MeshClient| {
        client.shard_history(&args.namespace, args.id, args.limit).await
    };
    let entries = reading::call(context, call)?.value;
    match args.shown.output.notation() {
        Some(notation) => {
            let entry = |past: &ShardHistoryEntry| {
                json!({
                    "revision": past.revision,
                    "at": at(past.at.as_ref()),
                    "actor": past.actor,
                    "action": past.action,
                    "reason": past.reason,
                    "ticket": past.ticket,
                    "shard": past.shard.as_ref().map(record),
                })
            };
            output::print_document(
                notation,
                &json!({ "entries": entries.iter().map(entry).collect::<Vec<Value>>() }),
            )
        }
        None => {
            output::print(&history_table(&entries, Timestamp::now()).render(0, args.shown.output.look()))?;
            output::note(&format!("{} changes of {}/{}", entries.len(), args.namespace, args.id));
            Ok(())
        }
    }
}

pub(super) fn history_table(entries: &[ShardHistoryEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ">REVISION",
        "AGO",
        "ACTION",
        "ACTOR",
        "OWNER",
        "PHASE",
        ">FENCE",
        "REASON",
        "TICKET",
        "+AT",
        "+SUCCESSOR",
        "+PINNED",
        "+>RECORD",
    ]);
    for past in entries {
        let shard = past.shard.as_ref();
        table.row([
            past.revision.to_string(),
            ago(at(past.at.as_ref()), now),
            past.action.clone(),
            past.actor.clone(),
            shard.map(|shard| shard.owner.clone()).unwrap_or_default(),
            shard.map(|shard| phase(shard).to_owned()).unwrap_or_default(),
            shard.map(|shard| shard.fence.to_string()).unwrap_or_default(),
            past.reason.clone(),
            past.ticket.clone(),
            at(past.at.as_ref()).map(|at| at.to_string()).unwrap_or_default(),
            shard.map(super::successor).unwrap_or_default(),
            shard.map(|shard| shard.pinned.clone()).unwrap_or_default(),
            shard.map(|shard| shard.record_version.to_string()).unwrap_or_default(),
        ]);
    }
    table
}
