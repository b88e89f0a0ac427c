//! The registry over gRPC.

use std::sync::Arc;

use meshkit_api::{Caller, grpc_status, invalid, timestamp};
use meshkit_model::{Endpoint, Invalid, Peer, PeerId, PeerProtocol, PeerSpec, PeerStatus};
use omnirelay_proto::meshkit::v1::{self as wire, registry_service_server::RegistryService};
use relay_core::{Scope, Status};
use tonic::{Request, Response};

use crate::registry::{Listing, Registry};

pub(crate) struct Service(pub(crate) Arc<Registry>);

impl Service {
    fn caller<T>(&self, request: &Request<T>, scope: Scope) -> Result<Caller, Status> {
        let headers = request.metadata().as_ref();
        Caller::of(&self.0.auth, request.extensions(), headers, scope)
    }

    async fn list(
        &self,
        request: Request<wire::ListPeersRequest>,
    ) -> Result<wire::ListPeersResponse, Status> {
        self.caller(&request, Scope::Read)?;
        let asked = request.into_inner();
        let listing = Listing {
            status: status_of(asked.status)?,
            role: asked.role,
            service: asked.service,
            cluster: asked.cluster,
            limit: asked.page_size,
            cursor: asked.page_token,
        };
        let page = self.0.list(listing)?;
        Ok(wire::ListPeersResponse {
            peers: page.peers.into_iter().map(peer_to_wire).collect(),
            next_page_token: page.next_cursor,
            revision: page.revision,
        })
    }

    async fn get(&self, request: Request<wire::GetPeerRequest>) -> Result<wire::GetPeerResponse, Status> {
        self.caller(&request, Scope::Read)?;
        let peer = self.0.get(&request.into_inner().id)?;
        Ok(wire::GetPeerResponse { peer: Some(peer_to_wire(peer)) })
    }

    async fn register(
        &self,
        request: Request<wire::RegisterPeerRequest>,
    ) -> Result<wire::RegisterPeerResponse, Status> {
        let caller = self.caller(&request, Scope::Observe)?;
        let missing = || invalid(&Invalid::new("peer", "is missing"));
        let peer = request.into_inner().peer.ok_or_else(missing)?;
        let spec = spec_of(peer).map_err(|error| invalid(&error))?;
        let (peer, _) = self.0.register(&caller, spec).await?;
        Ok(wire::RegisterPeerResponse {
            peer: Some(peer_to_wire(peer)),
            heartbeat_interval_ms: self.0.heartbeat_interval_ms(),
        })
    }

    async fn beat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<wire::HeartbeatResponse, Status> {
        let caller = self.caller(&request, Scope::Observe)?;
        let asked = request.into_inner();
        self.0.heartbeat(&caller, &asked.id, asked.leaving).await?;
        Ok(wire::HeartbeatResponse { heartbeat_interval_ms: self.0.heartbeat_interval_ms() })
    }
}

#[tonic::async_trait]
impl RegistryService for Service {
    async fn list_peers(
        &self,
        request: Request<wire::ListPeersRequest>,
    ) -> Result<Response<wire::ListPeersResponse>, tonic::Status> {
        answer(self.list(request).await)
    }

    async fn get_peer(
        &self,
        request: Request<wire::GetPeerRequest>,
    ) -> Result<Response<wire::GetPeerResponse>, tonic::Status> {
        answer(self.get(request).await)
    }

    async fn register_peer(
        &self,
        request: Request<wire::RegisterPeerRequest>,
    ) -> Result<Response<wire::RegisterPeerResponse>, tonic::Status> {
        answer(self.register(request).await)
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatResponse>, tonic::Status> {
        answer(self.beat(request).await)
    }
}

fn answer<T>(outcome: Result<T, Status>) -> Result<Response<T>, tonic::Status> {
    outcome.map(Response::new).map_err(|status| grpc_status(&status))
}

fn status_of(number: i32) -> Result<Option<PeerStatus>, Status> {
    match wire::PeerStatus::try_from(number) {
        Ok(wire::PeerStatus::Unspecified) => Ok(None),
        Ok(wire::PeerStatus::Alive) => Ok(Some(PeerStatus::Alive)),
        Ok(wire::PeerStatus::Suspect) => Ok(Some(PeerStatus::Suspect)),
        Ok(wire::PeerStatus::Dead) => Ok(Some(PeerStatus::Dead)),
        Ok(wire::PeerStatus::Left) => Ok(Some(PeerStatus::Left)),
        Err(_) => Err(invalid(&Invalid::new("status", format!("is {number}; it is one of PeerStatus")))),
    }
}

fn spec_of(peer: wire::Peer) -> Result<PeerSpec, Invalid> {
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

fn peer_to_wire(peer: Peer) -> wire::Peer {
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
    }
}
