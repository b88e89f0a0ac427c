//! Peers as the contracts write them.

use meshkit_api::{invalid, timestamp};
use meshkit_model::{Endpoint, Hold, HoldState, Invalid, Peer, PeerId, PeerProtocol, PeerSpec, PeerStatus};
use omnirelay_proto::meshkit::v1 as wire;
use relay_core::Status;

pub(crate) fn status_of(number: i32) -> Result<Option<PeerStatus>, Status> {
    match wire::PeerStatus::try_from(number) {
        Ok(wire::PeerStatus::Unspecified) => Ok(None),
        Ok(wire::PeerStatus::Alive) => Ok(Some(PeerStatus::Alive)),
        Ok(wire::PeerStatus::Suspect) => Ok(Some(PeerStatus::Suspect)),
        Ok(wire::PeerStatus::Dead) => Ok(Some(PeerStatus::Dead)),
        Ok(wire::PeerStatus::Left) => Ok(Some(PeerStatus::Left)),
        Err(_) => Err(invalid(&Invalid::new("status", format!("is {number}; it is one of PeerStatus")))),
    }
}

pub(crate) fn spec_of(peer: wire::Peer) -> Result<PeerSpec, Invalid> {
    Ok(PeerSpec {
        id: PeerId::new(peer.id)?,
        role: peer.role,
        service: peer.service,
        cluster: peer.cluster,
        zone: peer.zone,
        version: peer.version,
        endpoints: peer.endpoints.into_iter().map(endpoint_of).collect::<Result<_, _>>()?,
        labels: peer.labels,
    })
}

fn endpoint_of(endpoint: wire::Endpoint) -> Result<Endpoint, Invalid> {
    let protocols = endpoint.protocols.iter().map(|name| name.parse());
    Ok(Endpoint { url: endpoint.url, protocols: protocols.collect::<Result<_, _>>()? })
}

pub(crate) fn peer_to_wire(peer: Peer) -> wire::Peer {
    let status = match peer.status {
        PeerStatus::Alive => wire::PeerStatus::Alive,
        PeerStatus::Suspect => wire::PeerStatus::Suspect,
        PeerStatus::Dead => wire::PeerStatus::Dead,
        PeerStatus::Left => wire::PeerStatus::Left,
    };
    let endpoint = |endpoint: Endpoint| wire::Endpoint {
        url: endpoint.url,
        protocols: endpoint.protocols.into_iter().map(PeerProtocol::as_str).map(ToOwned::to_owned).collect(),
    };
    wire::Peer {
        id: peer.spec.id.into(),
        role: peer.spec.role,
        service: peer.spec.service,
        cluster: peer.spec.cluster,
        zone: peer.spec.zone,
        version: peer.spec.version,
        endpoints: peer.spec.endpoints.into_iter().map(endpoint).collect(),
        labels: peer.spec.labels,
        status: status.into(),
        registered_at: Some(timestamp(peer.registered_at)),
        last_seen_at: Some(timestamp(peer.last_seen_at)),
        record_version: peer.record_version,
        hold: peer.hold.map(hold_to_wire),
    }
}

fn hold_to_wire(hold: Hold) -> wire::Hold {
    let state = match hold.state {
        HoldState::Cordoned => wire::HoldState::Cordoned,
        HoldState::Draining => wire::HoldState::Draining,
        HoldState::Drained => wire::HoldState::Drained,
    };
    wire::Hold {
        state: state.into(),
        since: Some(timestamp(hold.since)),
        by: hold.by,
        reason: hold.reason,
        ticket: hold.ticket,
        progress: hold.progress.map(|progress| wire::DrainProgress {
            total: progress.total,
            remaining: progress.remaining,
            percent: progress.percent.into(),
        }),
    }
}

/// Leaves the wanted fields of a peer alone; `wants` is asked by the names of the REST twin.
pub(crate) fn sparse(mut peer: wire::Peer, wants: impl Fn(&str) -> bool) -> wire::Peer {
    fn drop_unless<T: Default>(wanted: bool, field: &mut T) {
        if !wanted {
            *field = T::default();
        }
    }
    drop_unless(wants("id"), &mut peer.id);
    drop_unless(wants("role"), &mut peer.role);
    drop_unless(wants("service"), &mut peer.service);
    drop_unless(wants("cluster"), &mut peer.cluster);
    drop_unless(wants("zone"), &mut peer.zone);
    drop_unless(wants("version"), &mut peer.version);
    drop_unless(wants("endpoints"), &mut peer.endpoints);
    drop_unless(wants("labels"), &mut peer.labels);
    drop_unless(wants("status"), &mut peer.status);
    drop_unless(wants("registeredAt"), &mut peer.registered_at);
    drop_unless(wants("lastSeenAt"), &mut peer.last_seen_at);
    drop_unless(wants("hold"), &mut peer.hold);
    drop_unless(wants("recordVersion"), &mut peer.record_version);
    peer
}
