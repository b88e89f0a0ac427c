//! What owners have, and what they would have.

use std::path::Path;

use meshkit_client::Simulation;
use meshkit_client::v1::{ShardOwner, SimulateShardsResponse, SimulatedNode};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::super::reading;
use crate::args::{OfNamespace, Simulate};
use crate::output::{self, Look};
use crate::table::Table;

/// Moves that are shown to people.
const SHOWN: usize = 20;

/// Shows what each owner has.
pub(crate) fn owners(context: Option<&Path>, args: &OfNamespace) -> Result<()> {
    let listed = reading::call(context, async |client| client.shard_owners(&args.namespace).await)?.value;
    match args.shown.output.notation() {
        Some(notation) => {
            let owners: Vec<Value> = listed.owners.iter().map(owner).collect();
            output::print_document(notation, &json!({ "owners": owners, "revision": listed.revision }))
        }
        None => {
            output::print(&owners_table(&listed.owners).render(0, args.shown.output.look()))?;
            output::note(&format!("{} owners at revision {}", listed.owners.len(), listed.revision));
            Ok(())
        }
    }
}

pub(super) fn owner(owner: &ShardOwner) -> Value {
    json!({
        "owner": owner.owner,
        "zone": owner.zone,
        "shards": owner.shards,
        "active": owner.active,
        "incoming": owner.incoming,
        "callsPerSecond": owner.calls_per_second,
    })
}

pub(super) fn owners_table(owners: &[ShardOwner]) -> Table {
    let mut table = Table::new(&["OWNER", "ZONE", ">SHARDS", ">ACTIVE", ">INCOMING", ">CALLS/S"]);
    for owner in owners {
        table.row([
            owner.owner.clone(),
            owner.zone.clone(),
            owner.shards.to_string(),
            owner.active.to_string(),
            owner.incoming.to_string(),
            format!("{:.1}", owner.calls_per_second),
        ]);
    }
    table
}

/// Shows what would move.
pub(crate) fn simulate(context: Option<&Path>, args: &Simulate) -> Result<()> {
    let simulation = Simulation {
        namespace: args.of.namespace.clone(),
        add: args.add.iter().map(|text| node(text)).collect::<Result<_>>()?,
        remove: args.remove.clone(),
        reweight: args.reweight.iter().map(|text| weighed(text)).collect::<Result<_>>()?,
    };
    let answer = reading::call(context, async |client| client.simulate_shards(&simulation).await)?.value;
    match args.of.shown.output.notation() {
        Some(notation) => output::print_document(notation, &document(&answer)),
        None => {
            output::print(&text(&answer, args.of.shown.output.look()))?;
            output::note(&format!("nothing was written; as of revision {}", answer.revision));
            Ok(())
        }
    }
}

pub(super) fn text(answer: &SimulateShardsResponse, look: Look) -> String {
    let mut loads = Table::new(&["PEER", ">BEFORE", ">AFTER", ">CHANGE"]);
    for load in &answer.loads {
        let change = i64::from(load.after) - i64::from(load.before);
        let change = if change == 0 { String::new() } else { format!("{change:+}") };
        loads.row([load.node.clone(), load.before.to_string(), load.after.to_string(), change]);
    }
    let mut moves = Table::new(&["NAMESPACE", ">ID", "FROM", "TO"]);
    let shown = if look.wide { answer.moves.len() } else { SHOWN };
    for one in answer.moves.iter().take(shown) {
        moves.row([one.shard_namespace.clone(), one.id.to_string(), one.from.clone(), one.to.clone()]);
    }
    let (moved, shards, percent) = (answer.moved, answer.shards, answer.moved_percent);
    let mut text =
        format!("{moved} of {shards} shards would move ({percent:.1} %)\n\n{}", loads.render(0, look));
    if moved > 0 {
        text.push_str(&format!("\n{}", moves.render(0, look)));
    }
    if moved as usize > shown {
        text.push_str(&format!("and {} more; --output wide lists up to 1000\n", moved as usize - shown));
    }
    text
}

fn document(answer: &SimulateShardsResponse) -> Value {
    let moves: Vec<Value> = answer
        .moves
        .iter()
        .map(|one| json!({ "namespace": one.shard_namespace, "id": one.id, "from": one.from, "to": one.to }))
        .collect();
    let loads: Vec<Value> = answer
        .loads
        .iter()
        .map(|load| json!({ "node": load.node, "before": load.before, "after": load.after }))
        .collect();
    json!({
        "moves": moves,
        "moved": answer.moved,
        "shards": answer.shards,
        "movedPercent": answer.moved_percent,
        "loads": loads,
        "revision": answer.revision,
    })
}

/// `ID`, `ID:ZONE` or `ID:ZONE:WEIGHT`.
pub(super) fn node(text: &str) -> Result<SimulatedNode> {
    let mut parts = text.split(':');
    let (id, zone) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let weight = parts.next().map_or(Some(1), |weight| weight.parse().ok());
    match (weight, parts.next()) {
        (Some(weight), None) => Ok(SimulatedNode { id: id.to_owned(), zone: zone.to_owned(), weight }),
        _ => Err(usage(text, "write ID, ID:ZONE or ID:ZONE:WEIGHT")),
    }
}

fn weighed(text: &str) -> Result<SimulatedNode> {
    let (id, weight) = text.rsplit_once(':').ok_or_else(|| usage(text, "write ID:WEIGHT"))?;
    let weight = weight.parse().map_err(|_| usage(text, "write ID:WEIGHT"))?;
    Ok(SimulatedNode { id: id.to_owned(), zone: String::new(), weight })
}

fn usage(text: &str, hint: &str) -> OperatorError {
    OperatorError::new(ErrorKind::Usage, format!("`{text}` is no peer of a simulation")).hint(hint)
}
