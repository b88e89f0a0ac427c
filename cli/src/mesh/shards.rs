//! Who owns what.

use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{Shard, ShardStatus};
use meshkit_client::{Answer, ShardFilter};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::reading::{self, ago, rfc3339};
use crate::args::{ShardState, ShardsList};
use crate::output::{self, ListFormat};
use crate::table::Table;

#[cfg(test)]
mod tests;

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
    match args.listing.output {
        ListFormat::Json => output::print_json(&listed.document("shards", record)),
        ListFormat::Table => {
            let color = output::color_on_stdout();
            output::print(&table(&listed.records, Timestamp::now()).render(0, color))?;
            listed.note("shards");
            Ok(())
        }
    }
}

fn table(shards: &[Shard], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAMESPACE", ">ID", "OWNER", "STATUS", ">FENCE", "STRATEGY", "CHANGED"]);
    for shard in shards {
        table.row([
            shard.shard_namespace.clone(),
            shard.id.to_string(),
            shard.owner.clone(),
            status(shard).to_owned(),
            shard.fence.to_string(),
            shard.strategy.clone(),
            ago(at(shard), now),
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
        "owner": Some(&shard.owner).filter(|owner| !owner.is_empty()),
        "status": status(shard),
        "fence": shard.fence,
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

fn at(shard: &Shard) -> Option<Timestamp> {
    shard.changed_at.as_ref().and_then(|time| rfc3339(time.seconds, time.nanos))
}
