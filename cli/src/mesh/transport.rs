//! How a daemon's calls were carried.

use std::path::Path;

use omnirelay_runtime::Result;
use relay_core::observe::{EndpointStats, TRANSPORT_STATS, TransportStats};

use super::daemon::Daemon;
use crate::args;
use crate::introspect::section;
use crate::output::{self, Look};
use crate::remote;
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Reads the counters of a daemon and prints them.
pub(crate) fn stats(context: Option<&Path>, args: &args::TransportStats) -> Result<()> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let stats: TransportStats = remote::runtime()?.block_on(daemon.read(TRANSPORT_STATS))?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &stats),
        None => output::print(&render(&stats, args.output.look())),
    }
}

fn render(stats: &TransportStats, look: Look) -> String {
    let mut out = format!("{}, counting since {:.0}\n", output::printable(&stats.node), stats.since);
    let (endpoints, count) = endpoints(&stats.endpoints);
    section(&mut out, "Endpoints", count, &endpoints, look);
    let (calls, count) = calls(&stats.endpoints);
    section(&mut out, "Calls", count, &calls, look);
    let (downgrades, count) = downgrades(&stats.endpoints);
    section(&mut out, "Downgrades", count, &downgrades, look);
    let (exceptions, count) = exceptions(&stats.endpoints);
    section(&mut out, "Exceptions", count, &exceptions, look);
    out
}

fn endpoints(all: &[EndpointStats]) -> (Table, usize) {
    let headings = ["ENDPOINT", "CATEGORY", "WANTED", ">CALLS", ">DOWNGRADED", ">RATIO", ">REFUSED"];
    let mut table = Table::new(&headings);
    for one in all {
        table.row([
            one.endpoint.clone(),
            one.category.clone(),
            one.preferred.map(|protocol| protocol.to_string()).unwrap_or_default(),
            one.calls.to_string(),
            one.downgraded.to_string(),
            format!("{:.2}", one.downgrade_ratio),
            one.refused.to_string(),
        ]);
    }
    (table, all.len())
}

fn calls(all: &[EndpointStats]) -> (Table, usize) {
    let mut table = Table::new(&["ENDPOINT", "PROTOCOL", "ENCODING", ">ANSWERED", ">FAILED", ">REFUSED"]);
    let rows = all.iter().flat_map(|one| one.wires.iter().map(move |wire| (one, wire)));
    let mut count = 0;
    for (one, wire) in rows {
        count += 1;
        table.row([
            one.endpoint.clone(),
            wire.protocol.to_string(),
            wire.encoding.to_string(),
            wire.answered.to_string(),
            wire.failed.to_string(),
            wire.refused.to_string(),
        ]);
    }
    (table, count)
}

fn downgrades(all: &[EndpointStats]) -> (Table, usize) {
    let mut table = Table::new(&["ENDPOINT", "REASON", ">CALLS"]);
    let rows = all.iter().flat_map(|one| one.downgrades.iter().map(move |downgrade| (one, downgrade)));
    let mut count = 0;
    for (one, downgrade) in rows {
        count += 1;
        table.row([one.endpoint.clone(), downgrade.reason.to_string(), downgrade.calls.to_string()]);
    }
    (table, count)
}

fn exceptions(all: &[EndpointStats]) -> (Table, usize) {
    let mut table = Table::new(&["ENDPOINT", "NAME", "STATE", "EXPIRES", ">USED", ">REFUSED"]);
    let rows = all.iter().flat_map(|one| one.exceptions.iter().map(move |exception| (one, exception)));
    let mut count = 0;
    for (one, exception) in rows {
        count += 1;
        table.row([
            one.endpoint.clone(),
            exception.name.clone(),
            if exception.expired { "expired" } else { "valid" }.to_owned(),
            exception.expires.to_string(),
            exception.used.to_string(),
            exception.refused.to_string(),
        ]);
    }
    (table, count)
}
