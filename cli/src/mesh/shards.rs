//! Who owns what.

use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{OwnershipPhase, Shard, ShardStatus};
use meshkit_client::{Answer, AssignShard, ShardFilter};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::changing;
use super::reading::{self, ago, rfc3339};
use crate::args::{Assign, LookupKey, OneShard, ShardState, ShardsList, Shown};
use crate::output::{self, Look};
use crate::table::Table;

pub(crate) mod owners;
pub(crate) mod past;
#[cfg(test)]
mod tests;
pub(crate) mod top;
pub(crate) mod watch;

/// Lists shards.
pub(crate) fn list(context: Option<&Path>, args: &ShardsList) -> Result<()> {
    let filter = ShardFilter {
        namespace: args.namespace.clone().unwrap_or_default(),
        owner: args.owner.clone().unwrap_or_default(),
        status: args.status.map(|status| match status {
            ShardState::Active => ShardStatus::Active,
            ShardState::Draining => ShardStatus::Draining,
            ShardState::Paused => ShardStatus::Paused,
            ShardState::Disabled => ShardStatus::Disabled,
        }),
    };
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_shards(&filter, size, token).await?;
        Ok(Answer { value: (value.shards, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.listing.output, "shards", record, |shards| table(shards, Timestamp::now()))
}

/// Shows one shard.
pub(crate) fn get(context: Option<&Path>, args: &OneShard) -> Result<()> {
    let shard = reading::call(context, async |client| client.get_shard(&args.namespace, args.id).await)?;
    one(&shard.value, &args.shown)
}

/// Finds the shard of a key.
pub(crate) fn lookup(context: Option<&Path>, args: &LookupKey) -> Result<()> {
    let key = args.key.as_bytes();
    let shard = reading::call(context, async |client| client.lookup_shard(&args.namespace, key).await)?;
    one(&shard.value, &args.shown)
}

/// Binds a shard to a peer, or to none.
pub(crate) fn assign(context: Option<&Path>, args: &Assign) -> Result<()> {
    let fence = match args.fence {
        Some(fence) => fence,
        None => {
            let shard =
                reading::call(context, async |client| client.get_shard(&args.namespace, args.id).await)?;
            shard.value.fence
        }
    };
    let (namespace, peer) = (args.namespace.clone(), args.peer.clone().unwrap_or_default());
    let asked = AssignShard { namespace, id: args.id, peer, fence };
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.assign_shard(&asked, change).await
    })?;
    let shown =
        |shard: &Shard, look: Look| table(std::slice::from_ref(shard), Timestamp::now()).render(0, look);
    changing::print(&args.changing, &changed, "shard", record, shown)
}

fn one(shard: &Shard, shown: &Shown) -> Result<()> {
    match shown.output.notation() {
        Some(notation) => output::print_document(notation, &record(shard)),
        None => {
            let table = table(std::slice::from_ref(shard), Timestamp::now());
            output::print(&table.render(0, shown.output.look()))
        }
    }
}

fn table(shards: &[Shard], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "NAMESPACE",
        ">ID",
        "OWNER",
        "PHASE",
        "SUCCESSOR",
        "STATUS",
        ">FENCE",
        "STRATEGY",
        "CHANGED",
        "+LEADER",
        "+STANDBYS",
        "+PINNED",
        "+>CAPACITY",
        "+TICKET",
        "+CHECKSUM",
        "+>RECORD",
    ]);
    for shard in shards {
        table.row([
            shard.shard_namespace.clone(),
            shard.id.to_string(),
            shard.owner.clone(),
            phase(shard).to_owned(),
            successor(shard),
            status(shard).to_owned(),
            shard.fence.to_string(),
            shard.strategy.clone(),
            ago(at(shard), now),
            shard.leader.clone(),
            shard.standbys.join(", "),
            shard.pinned.clone(),
            shard.capacity_hint.to_string(),
            shard.ticket.clone(),
            format!("{:016x}", shard.checksum),
            shard.record_version.to_string(),
        ]);
    }
    table
}

/// A shard with the names of the REST twin.
fn record(shard: &Shard) -> Value {
    json!({
        "namespace": shard.shard_namespace,
        "id": shard.id,
        "strategy": shard.strategy,
        "owner": named(&shard.owner),
        "leader": named(&shard.leader),
        "status": status(shard),
        "phase": phase(shard),
        "successor": named(&shard.successor)
            .map(|peer| json!({ "peer": peer, "ready": shard.successor_ready })),
        "standbys": shard.standbys,
        "pinned": named(&shard.pinned),
        "capacityHint": shard.capacity_hint,
        "ticket": shard.ticket,
        "fence": shard.fence,
        "checksum": format!("{:016x}", shard.checksum),
        "recordVersion": shard.record_version,
        "changedAt": at(shard),
    })
}

fn status(shard: &Shard) -> &'static str {
    match shard.status() {
        ShardStatus::Unspecified => "unknown",
        ShardStatus::Active => "active",
        ShardStatus::Draining => "draining",
        ShardStatus::Paused => "paused",
        ShardStatus::Disabled => "disabled",
    }
}

fn phase(shard: &Shard) -> &'static str {
    match shard.phase() {
        OwnershipPhase::Unspecified => "unknown",
        OwnershipPhase::Assigned => "assigned",
        OwnershipPhase::Warming => "warming",
        OwnershipPhase::Active => "active",
        OwnershipPhase::Draining => "draining",
    }
}

/// Who takes over, in a cell.
fn successor(shard: &Shard) -> String {
    match (shard.successor.as_str(), shard.successor_ready) {
        ("", _) => String::new(),
        (peer, true) => format!("{peer} (ready)"),
        (peer, false) => peer.to_owned(),
    }
}

fn named(peer: &str) -> Option<&str> {
    Some(peer).filter(|peer| !peer.is_empty())
}

fn at(shard: &Shard) -> Option<Timestamp> {
    shard.changed_at.as_ref().and_then(|time| rfc3339(time.seconds, time.nanos))
}
