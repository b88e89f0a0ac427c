//! What owners have and are asked for, again and again.

use std::io::IsTerminal as _;
use std::path::Path;

use meshkit_client::v1::{ListShardOwnersResponse, ShardOwner};
use omnirelay_runtime::Result;
use serde_json::json;

use super::super::reading;
use super::owners::owner;
use crate::args::ShardsTop;
use crate::output::{self, Look};
use crate::table::Table;

/// The longest bar, in characters.
const BAR: u32 = 30;

/// Looks until nobody reads any more, or as often as was asked for.
pub(crate) fn top(context: Option<&Path>, args: &ShardsTop) -> Result<()> {
    let format = args.of.shown.output;
    let is_live = std::io::stdout().is_terminal();
    reading::call(context, async |client| {
        let mut left = args.count.unwrap_or(u64::MAX);
        loop {
            let listed = client.shard_owners(&args.of.namespace).await?.value;
            let printed = match format.notation() {
                Some(notation) => {
                    let owners: Vec<_> = listed.owners.iter().map(owner).collect();
                    output::print_event(notation, &json!({ "owners": owners, "revision": listed.revision }))
                }
                // The screen is cleared behind the new table, so that it does not flicker.
                None if is_live => output::print_line(&format!(
                    "\x1b[H{}\x1b[J",
                    text(&listed, format.look()).replace('\n', "\x1b[K\n")
                )),
                None => output::print_line(&text(&listed, format.look())),
            };
            left -= 1;
            match printed {
                Ok(true) if left > 0 => tokio::time::sleep(args.interval).await,
                Ok(_) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    })?
}

pub(super) fn text(listed: &ListShardOwnersResponse, look: Look) -> String {
    let mut owners: Vec<&ShardOwner> = listed.owners.iter().collect();
    owners.sort_by(|one, other| {
        other.calls_per_second.total_cmp(&one.calls_per_second).then_with(|| one.owner.cmp(&other.owner))
    });
    let most = owners.first().map_or(0.0, |owner| owner.calls_per_second);
    let calls: f64 = owners.iter().map(|owner| owner.calls_per_second).sum();
    let shards: u32 = owners.iter().map(|owner| owner.shards).sum();
    let mut table = Table::new(&["OWNER", "ZONE", ">SHARDS", ">ACTIVE", ">INCOMING", ">CALLS/S", "LOAD"]);
    for owner in &owners {
        table.row([
            owner.owner.clone(),
            owner.zone.clone(),
            owner.shards.to_string(),
            owner.active.to_string(),
            owner.incoming.to_string(),
            format!("{:.1}", owner.calls_per_second),
            bar(owner.calls_per_second, most),
        ]);
    }
    format!(
        "{} owners of {shards} shards at revision {}, {calls:.1} calls/s\n\n{}",
        owners.len(),
        listed.revision,
        table.render(0, look)
    )
}

/// A bar as long as `part` is of `most`.
fn bar(part: f64, most: f64) -> String {
    let length = if most > 0.0 { (part / most * f64::from(BAR)).round() } else { 0.0 };
    (0..BAR).take_while(|at| f64::from(*at) < length).map(|_| '#').collect()
}
