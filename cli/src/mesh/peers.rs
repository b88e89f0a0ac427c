//! Who is in the mesh.

use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{Peer, PeerStatus};
use meshkit_client::{Answer, PeerFilter};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::reading::{self, ago, rfc3339};
use crate::args::{PeerState, PeersList};
use crate::output::{self, ListFormat};
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
    };
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_peers(&filter, size, token).await?;
        Ok(Answer { value: (value.peers, value.next_page_token, value.revision), negotiated })
    })?;
    match args.listing.output {
        ListFormat::Json => output::print_json(&listed.document("peers", record)),
        ListFormat::Table => {
            let color = output::color_on_stdout();
            output::print(&table(&listed.records, Timestamp::now()).render(0, color))?;
            listed.note("peers");
            Ok(())
        }
    }
}

fn table(peers: &[Peer], now: Timestamp) -> Table {
    let mut table =
        Table::new(&["ID", "ROLE", "SERVICE", "STATUS", "CLUSTER", "ZONE", "VERSION", "SEEN", "ENDPOINT"]);
    for peer in peers {
        table.row([
            peer.id.clone(),
            peer.role.clone(),
            peer.service.clone(),
            status(peer).to_owned(),
            peer.cluster.clone(),
            peer.zone.clone(),
            peer.version.clone(),
            ago(at(peer.last_seen_at.as_ref()), now),
            peer.endpoints.first().map(|endpoint| endpoint.url.clone()).unwrap_or_default(),
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

fn at(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| rfc3339(time.seconds, time.nanos))
}
