//! Who leads the mesh, its namespaces and its modules.

use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{LeaderChange, LeaderEventType, LeaderState, Lease, WatchLeadersResponse};
use meshkit_client::{Answer, MeshClient, MeshError};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::changing;
use super::reading::{self, ago, at};
use crate::args::{LeadersStatus, ResignLeader};
use crate::output::{self, ListFormat};
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Shows who leads, or follows it.
pub(crate) fn status(context: Option<&Path>, args: &LeadersStatus) -> Result<()> {
    let scope = args.scope.as_deref().unwrap_or_default();
    if args.watch {
        return reading::call(context, async |client| follow(client, scope, args.listing.output).await)?;
    }
    let filter = if scope.is_empty() { String::new() } else { format!("scope={scope}") };
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_leaders(&filter, size, token).await?;
        Ok(Answer { value: (value.leases, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.listing.output, "leases", record, |leases| table(leases, Timestamp::now()))
}

/// Asks a leader to give a scope up.
pub(crate) fn resign(context: Option<&Path>, args: &ResignLeader) -> Result<()> {
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.resign_leader(&args.scope, change).await
    })?;
    changing::print(&args.changing, &changed, "lease", record, |lease, look| {
        table(std::slice::from_ref(lease), Timestamp::now()).render(0, look)
    })
}

/// Prints events for as long as somebody reads. What cannot be printed ends it, and is told apart
/// from what the control plane refuses.
async fn follow(client: &MeshClient, scope: &str, format: ListFormat) -> Result<Result<()>, MeshError> {
    let mut watch = client.watch_leaders(scope);
    loop {
        let event = watch.next().await?;
        let printed = match format.notation() {
            Some(notation) => output::print_event(notation, &document(&event)),
            None => output::print_line(&line(&event, Timestamp::now())),
        };
        match printed {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn table(leases: &[Lease], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "SCOPE",
        "STATE",
        "LEADER",
        ">FENCE",
        "SINCE",
        ">LEASE MS",
        "PREVIOUS",
        "ENDED",
        "+>PREVIOUS FENCE",
        "+CHANGE",
        "+RESIGNING",
        "+SESSION",
        "+CHANGED AT",
        "+>RECORD",
    ]);
    for lease in leases {
        let previous = lease.previous.clone().unwrap_or_default();
        let ended = lease.previous.as_ref().map(|term| change(term.ended())).unwrap_or_default();
        table.row([
            lease.scope.clone(),
            state(lease).to_owned(),
            lease.holder.clone(),
            lease.fence.to_string(),
            ago(at(lease.since.as_ref()), now),
            lease.lease_ms.to_string(),
            previous.holder,
            ended.to_owned(),
            lease.previous.as_ref().map(|term| term.fence.to_string()).unwrap_or_default(),
            change(lease.change()).to_owned(),
            if lease.resigning { "yes" } else { "no" }.to_owned(),
            lease.session.clone(),
            reading::time(lease.changed_at.as_ref()),
            lease.record_version.to_string(),
        ]);
    }
    table
}

/// A lease with the names of the REST twin.
fn record(lease: &Lease) -> Value {
    let previous = lease.previous.as_ref();
    let previous = previous
        .map(|term| json!({ "holder": term.holder, "fence": term.fence, "ended": change(term.ended()) }));
    json!({
        "scope": lease.scope,
        "state": state(lease),
        "holder": (!lease.holder.is_empty()).then_some(&lease.holder),
        "session": lease.session,
        "fence": lease.fence,
        "leaseMs": lease.lease_ms,
        "resigning": lease.resigning,
        "change": change(lease.change()),
        "previous": previous,
        "since": at(lease.since.as_ref()),
        "changedAt": at(lease.changed_at.as_ref()),
        "recordVersion": lease.record_version,
    })
}

fn document(event: &WatchLeadersResponse) -> Value {
    json!({
        "event": name(event.r#type()),
        "scope": event.scope,
        "holder": event.holder,
        "fence": event.fence,
        "revision": event.revision,
        "lease": event.lease.as_ref().map(record),
    })
}

/// One event as one line, since a table of what is to come has no widths.
fn line(event: &WatchLeadersResponse, now: Timestamp) -> String {
    // Where time alone did it there is no record that says when.
    let changed = event.lease.as_ref().and_then(|lease| at(lease.changed_at.as_ref())).unwrap_or(now);
    let leader = if event.holder.is_empty() { "nobody" } else { &event.holder };
    let name = name(event.r#type());
    let line = format!("{changed:.3}  {name}  {}  leader={leader}  fence={}", event.scope, event.fence);
    let resigning = event.lease.as_ref().is_some_and(|lease| lease.resigning);
    output::printable(&if resigning { format!("{line}  resigning") } else { line })
}

fn state(lease: &Lease) -> &'static str {
    match lease.state() {
        LeaderState::Unspecified => "unknown",
        LeaderState::Held if lease.resigning => "resigning",
        LeaderState::Held => "held",
        LeaderState::Vacant => "vacant",
        LeaderState::Expired => "expired",
    }
}

const fn change(change: LeaderChange) -> &'static str {
    match change {
        LeaderChange::Unspecified => "unknown",
        LeaderChange::Elected => "elected",
        LeaderChange::Renewed => "renewed",
        LeaderChange::Lost => "lost",
        LeaderChange::Expired => "expired",
        LeaderChange::SteppedDown => "stepped-down",
    }
}

const fn name(event: LeaderEventType) -> &'static str {
    match event {
        LeaderEventType::Snapshot => "snapshot",
        LeaderEventType::Elected => "elected",
        LeaderEventType::Renewed => "renewed",
        LeaderEventType::Lost => "lost",
        LeaderEventType::Expired => "expired",
        LeaderEventType::SteppedDown => "stepped-down",
        LeaderEventType::Bookmark => "bookmark",
        LeaderEventType::ResyncRequired => "resync-required",
        LeaderEventType::Unspecified => "unknown",
    }
}
