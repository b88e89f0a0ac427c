//! What a relay tells about itself.

use std::path::Path;
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::Protocol;
use relay_core::introspect::{Introspection, Shadow};

use crate::args::Introspect;
use crate::context::{Context, Side};
use crate::fault;
use crate::output::{self, Look};
use crate::remote;
use crate::table::Table;

#[cfg(test)]
mod tests;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a relay and prints it.
pub(crate) fn run(context: Option<&Path>, args: &Introspect) -> Result<()> {
    let context = Context::read(context)?;
    let url = context.relay(args.relay.as_deref(), Side::Admin)?;
    let json = remote::runtime()?.block_on(async {
        let protocols = vec![Protocol::Http3, Protocol::Http2];
        let channel = remote::channel(&url, remote::context_tls(&context), protocols, TIMEOUT)?;
        let fetched = remote::get(&context, &channel, "/omnirelay/introspect");
        tokio::time::timeout(TIMEOUT, fetched).await.unwrap_or_else(|_| {
            Err(OperatorError::new(
                ErrorKind::Deadline,
                format!("{url} does not answer within {} s", TIMEOUT.as_secs()),
            )
            .hint("check that this is the relay's diagnostics address (`[admin]`)"))
        })
    })?;
    let relay: Introspection = serde_json::from_slice(&json).map_err(|error| {
        OperatorError::new(ErrorKind::Unavailable, format!("{url} answers something else than a relay"))
            .caused_by(&error)
            .hint("check that this is the relay's diagnostics address, and that both are of the same version")
    })?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &relay),
        None => output::print(&render(&relay, args.output.look())),
    }
}

fn render(relay: &Introspection, look: Look) -> String {
    let state = if relay.draining { "draining" } else { "serving" };
    let up = Duration::from_millis(relay.uptime_ms);
    let mut out = format!(
        "{} {}, {state}, up {}\n",
        output::printable(&relay.node),
        output::printable(&relay.version),
        age(up)
    );

    let mut procedures = Table::new(&["SERVICE", "PROCEDURE", "STYLE", "OUTBOUND"]);
    for one in &relay.procedures {
        procedures.row([one.service.clone(), one.procedure.clone(), one.style.clone(), one.outbound.clone()]);
    }
    section(&mut out, "Procedures", relay.procedures.len(), &procedures, look);

    let mut routes = Table::new(&["NAME", "SERVICE", ">PENDING", ">LIMIT", ">REFUSED", "FAULT", "COPIES"]);
    for one in &relay.routes {
        routes.row([
            one.name.clone(),
            one.service.clone(),
            one.pending.map(|pending| pending.to_string()).unwrap_or_default(),
            one.limit.map(|limit| limit.to_string()).unwrap_or_default(),
            one.refused.iter().map(|refused| refused.calls).sum::<u64>().to_string(),
            one.fault.map(|fault| fault::words(&fault)).unwrap_or_default(),
            one.shadow.as_ref().map(copies).unwrap_or_default(),
        ]);
    }
    section(&mut out, "Routes", relay.routes.len(), &routes, look);

    let mut inbounds = Table::new(&["NAME", "ADDRESS", "PROTOCOLS", ">REQUESTS", ">IN FLIGHT"]);
    for one in &relay.inbounds {
        inbounds.row([
            one.name.clone(),
            one.address.clone(),
            names(&one.protocols),
            one.requests.to_string(),
            one.in_flight.to_string(),
        ]);
    }
    section(&mut out, "Inbounds", relay.inbounds.len(), &inbounds, look);

    let mut outbounds = Table::new(&["NAME", "PROTOCOLS", "CHOOSER", ">PEERS", "+>MAP", "+MAP AGE"]);
    let mut peers = Table::new(&[
        "OUTBOUND",
        "URL",
        "STATE",
        "LAST PROTOCOL",
        ">PENDING",
        ">CALLS",
        ">FAILURES",
        ">EJECTIONS",
        ">P50",
        "+>P90",
        ">P99",
        "+>WEIGHT",
        "+ZONE",
    ]);
    let mut count = 0;
    for one in &relay.outbounds {
        outbounds.row([
            one.name.clone(),
            names(&one.protocols),
            match &one.shards {
                Some(shards) => format!("owner in {}, {}", shards.namespace, one.chooser),
                None => one.chooser.clone(),
            },
            one.peers.len().to_string(),
            one.shards.as_ref().map(|shards| shards.version.to_string()).unwrap_or_default(),
            one.shards
                .as_ref()
                .and_then(|shards| shards.age_ms)
                .map(|ms| age(Duration::from_millis(ms)))
                .unwrap_or_default(),
        ]);
        for peer in &one.peers {
            count += 1;
            peers.row([
                one.name.clone(),
                peer.url.clone(),
                peer.state.name().to_owned(),
                peer.protocol.map(|protocol| protocol.to_string()).unwrap_or_default(),
                peer.pending.to_string(),
                peer.calls.to_string(),
                peer.failures.to_string(),
                peer.ejections.to_string(),
                peer.latency.map(|latency| millis(latency.p50_us)).unwrap_or_default(),
                peer.latency.map(|latency| millis(latency.p90_us)).unwrap_or_default(),
                peer.latency.map(|latency| millis(latency.p99_us)).unwrap_or_default(),
                peer.weight.to_string(),
                peer.zone.clone(),
            ]);
        }
    }
    section(&mut out, "Outbounds", relay.outbounds.len(), &outbounds, look);
    section(&mut out, "Peers", count, &peers, look);
    out
}

/// A table under its title and the number of its rows.
pub(crate) fn section(out: &mut String, title: &str, count: usize, table: &Table, look: Look) {
    out.push_str(&format!("\n{title} ({count})\n"));
    if count > 0 {
        out.push_str(&table.render(2, look));
    }
}

/// What became of copies: `greeter-next: 90 equal, 3 different, 0 failed`.
fn copies(shadow: &Shadow) -> String {
    let Shadow { outbound, equal, different, failed, .. } = shadow;
    format!("{outbound}: {equal} equal, {different} different, {failed} failed")
}

fn names(protocols: &[Protocol]) -> String {
    protocols.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join(",")
}

fn millis(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

/// A length of time in its two largest units.
pub(crate) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}
