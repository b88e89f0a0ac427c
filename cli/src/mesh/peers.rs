//! Who is in the mesh.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{Hold, HoldState, Peer, PeerStatus};
use meshkit_client::{Answer, PeerFilter};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::changing;
use super::following::Shown;
use super::reading::{self, ago, at, pairs};
use crate::args::{HoldPeer, LabelPeer, OnePeer, PeerState, PeersList};
use crate::output::{self, Look};
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Lists peers.
pub(crate) fn list(context: Option<&Path>, args: &PeersList) -> Result<()> {
    let filter = PeerFilter {
        role: args.role.clone().unwrap_or_default(),
        service: args.service.clone().unwrap_or_default(),
        cluster: args.cluster.clone().unwrap_or_default(),
        status: args.status.map(|status| match status {
            PeerState::Alive => PeerStatus::Alive,
            PeerState::Suspect => PeerStatus::Suspect,
            PeerState::Dead => PeerStatus::Dead,
            PeerState::Left => PeerStatus::Left,
        }),
        filter: args.filter.clone(),
        sort: args.sort.clone(),
    };
    if args.watch {
        let shown = Shown { name: "peer", record, table: |peers| table(peers, Timestamp::now()) };
        return reading::call(context, async |client| {
            let mut watch = client.watch_peers(filter);
            shown.follow(args.listing.output, async || watch.next().await).await
        })?;
    }
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_peers(&filter, size, token).await?;
        Ok(Answer { value: (value.peers, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.listing.output, "peers", record, |peers| table(peers, Timestamp::now()))
}

fn table(peers: &[Peer], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "ID",
        "ROLE",
        "SERVICE",
        "STATUS",
        "HOLD",
        "CLUSTER",
        "ZONE",
        "VERSION",
        "SEEN",
        "ENDPOINT",
        "+PROTOCOLS",
        "+LABELS",
        "+REGISTERED",
        "+>RECORD",
    ]);
    for peer in peers {
        table.row([
            peer.id.clone(),
            peer.role.clone(),
            peer.service.clone(),
            status(peer).to_owned(),
            peer.hold.as_ref().map(held).unwrap_or_default(),
            peer.cluster.clone(),
            peer.zone.clone(),
            peer.version.clone(),
            ago(at(peer.last_seen_at.as_ref()), now),
            peer.endpoints.first().map(|endpoint| endpoint.url.clone()).unwrap_or_default(),
            peer.endpoints.first().map(|endpoint| endpoint.protocols.join(",")).unwrap_or_default(),
            pairs(&peer.labels),
            reading::time(peer.registered_at.as_ref()),
            peer.record_version.to_string(),
        ]);
    }
    table
}

/// A peer with the names of the REST twin.
fn record(peer: &Peer) -> Value {
    let endpoints: Vec<Value> = peer
        .endpoints
        .iter()
        .map(|endpoint| json!({ "url": endpoint.url, "protocols": endpoint.protocols }))
        .collect();
    json!({
        "id": peer.id,
        "role": peer.role,
        "service": peer.service,
        "cluster": peer.cluster,
        "zone": peer.zone,
        "version": peer.version,
        "endpoints": endpoints,
        "labels": peer.labels,
        "status": status(peer),
        "registeredAt": at(peer.registered_at.as_ref()),
        "lastSeenAt": at(peer.last_seen_at.as_ref()),
        "hold": peer.hold.as_ref().map(hold),
        "recordVersion": peer.record_version,
    })
}

fn status(peer: &Peer) -> &'static str {
    match peer.status() {
        PeerStatus::Unspecified => "unknown",
        PeerStatus::Alive => "alive",
        PeerStatus::Suspect => "suspect",
        PeerStatus::Dead => "dead",
        PeerStatus::Left => "left",
    }
}

/// How far a peer is held back, for people.
fn held(hold: &Hold) -> String {
    match (hold.state(), &hold.progress) {
        (HoldState::Draining, Some(progress)) => format!("draining {}%", progress.percent),
        (state, _) => hold_state(state).to_owned(),
    }
}

fn hold(hold: &Hold) -> Value {
    json!({
        "state": hold_state(hold.state()),
        "since": at(hold.since.as_ref()),
        "by": hold.by,
        "reason": hold.reason,
        "ticket": hold.ticket,
        "progress": hold.progress.map(|progress| json!({
            "total": progress.total,
            "remaining": progress.remaining,
            "percent": progress.percent,
        })),
    })
}

const fn hold_state(state: HoldState) -> &'static str {
    match state {
        HoldState::Unspecified => "unknown",
        HoldState::Cordoned => "cordoned",
        HoldState::Draining => "draining",
        HoldState::Drained => "drained",
    }
}

/// Shows one peer.
pub(crate) fn get(context: Option<&Path>, args: &OnePeer) -> Result<()> {
    let peer = reading::call(context, async |client| client.get_peer(&args.id).await)?.value;
    match args.shown.output.notation() {
        Some(notation) => output::print_document(notation, &record(&peer)),
        None => output::print(&one(&peer, args.shown.output.look())),
    }
}

/// Cordons, uncordons or drains a peer.
pub(crate) fn hold_back(context: Option<&Path>, args: &HoldPeer, verb: Verb) -> Result<()> {
    let id = &args.id;
    let changed = match verb {
        Verb::Cordon => changing::carry_out(context, &args.changing, async |client, change| {
            client.cordon_peer(id, change).await
        }),
        Verb::Uncordon => changing::carry_out(context, &args.changing, async |client, change| {
            client.uncordon_peer(id, change).await
        }),
        Verb::Drain => changing::confirm(context, &args.changing, draining, &async |client, change| {
            client.drain_peer(id, change).await
        }),
    }?;
    changing::print(&args.changing, &changed, "peer", record, one)
}

/// What is done to a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Cordon,
    Uncordon,
    Drain,
}

fn draining(peer: &Peer) -> String {
    let shards = peer.hold.as_ref().and_then(|hold| hold.progress).map_or(0, |progress| progress.remaining);
    format!("`{}` gives up its {shards} shards.", peer.id)
}

/// Sets or hides labels of a peer.
pub(crate) fn label(context: Option<&Path>, args: &LabelPeer) -> Result<()> {
    let mut labels = BTreeMap::new();
    for label in &args.labels {
        let (key, value) = match (label.split_once('='), label.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Some(value.to_owned())),
            (None, Some(key)) => (key, None),
            (None, None) => {
                return Err(OperatorError::new(ErrorKind::Usage, format!("`{label}` is no label"))
                    .hint("write key=value to set one, key- to hide one"));
            }
        };
        labels.insert(key.to_owned(), value);
    }
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.label_peer(&args.id, &labels, change).await
    })?;
    changing::print(&args.changing, &changed, "peer", record, one)
}

fn one(peer: &Peer, look: Look) -> String {
    let mut text = table(std::slice::from_ref(peer), Timestamp::now()).render(0, look);
    for (key, value) in &peer.labels {
        text.push_str(&format!("  {}={}\n", output::printable(key), output::printable(value)));
    }
    text
}
