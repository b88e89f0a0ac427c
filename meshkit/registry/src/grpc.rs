//! The registry over gRPC.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use meshkit_api::{Ask, Changed, Listing, Sparse, Verb, grpc_answer, invalid, outcome_to_wire, valid};
use meshkit_model::{HoldVerb, Invalid, LabelPatch, Peer, PeerStatus};
use omnirelay_proto::meshkit::v1::{self as wire, registry_service_server::RegistryService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::registry::Registry;
use crate::rest::{FIELDS, watched};
use crate::versions::count;
use crate::wire::{peer_to_wire, sparse, spec_of, status_of};

pub(crate) struct Service(pub(crate) Arc<Registry>);

type Watching = BoxStream<'static, Result<wire::WatchPeersResponse, tonic::Status>>;
type Held = (Option<wire::Peer>, Option<wire::ChangeOutcome>);

impl Service {
    async fn list(
        &self,
        request: Request<wire::ListPeersRequest>,
    ) -> Result<wire::ListPeersResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::PeersList, request, |_| "peer".to_owned()).await?;
        let mut listing =
            Listing::parse::<Peer>(&asked.filter, &asked.sort, asked.page_size, asked.page_token)?;
        listing.filter = (listing.filter)
            .and_equal("role", &asked.role)
            .and_equal("service", &asked.service)
            .and_equal("cluster", &asked.cluster)
            .and_equal("status", status_of(asked.status)?.map_or("", PeerStatus::as_str));
        let fields = Sparse::of_mask(asked.read_mask.as_ref(), FIELDS)?;
        let page = self.0.list(&listing)?;
        let peers = page.peers.into_iter().map(peer_to_wire);
        Ok(wire::ListPeersResponse {
            peers: match asked.read_mask {
                None => peers.collect(),
                Some(_) => peers.map(|peer| sparse(peer, |name| fields.wants(name))).collect(),
            },
            next_page_token: page.next_cursor,
            revision: page.revision,
        })
    }

    async fn get(&self, request: Request<wire::GetPeerRequest>) -> Result<wire::GetPeerResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::PeersGet, request, |asked| name(&asked.id)).await?;
        Ok(wire::GetPeerResponse { peer: Some(peer_to_wire(self.0.get(&asked.id)?)) })
    }

    async fn register(
        &self,
        request: Request<wire::RegisterPeerRequest>,
    ) -> Result<wire::RegisterPeerResponse, Status> {
        let (caller, asked) = self.0.gate.grpc(Verb::PeersRegister, request, |_| "peer".to_owned()).await?;
        let missing = || invalid(&Invalid::new("peer", "is missing"));
        let spec = valid(spec_of(asked.peer.ok_or_else(missing)?))?;
        let (peer, _) = self.0.register(&caller, spec).await?;
        Ok(wire::RegisterPeerResponse {
            peer: Some(peer_to_wire(peer.seen())),
            heartbeat_interval_ms: self.0.heartbeat_interval_ms(),
        })
    }

    async fn beat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<wire::HeartbeatResponse, Status> {
        let (caller, asked) =
            self.0.gate.grpc(Verb::PeersHeartbeat, request, |asked| name(&asked.id)).await?;
        self.0.heartbeat(&caller, &asked.id, asked.leaving).await?;
        Ok(wire::HeartbeatResponse { heartbeat_interval_ms: self.0.heartbeat_interval_ms() })
    }

    /// Cordon, uncordon and drain; `of` takes a request apart.
    async fn hold<T>(
        &self,
        (verb, hold): (Verb, HoldVerb),
        request: Request<T>,
        of: impl Fn(&T) -> (&str, Option<wire::ChangeOptions>),
    ) -> Result<Held, Status> {
        let (caller, asked) = self.0.gate.grpc(verb, request, |asked| name(of(asked).0)).await?;
        let (id, options) = of(&asked);
        let ask = Ask::of_grpc(verb, options)?;
        Ok(parts(self.0.hold(&caller, &ask, id, hold).await?))
    }

    async fn label(
        &self,
        request: Request<wire::PatchPeerLabelsRequest>,
    ) -> Result<wire::PatchPeerLabelsResponse, Status> {
        let (caller, asked) = self.0.gate.grpc(Verb::PeersLabel, request, |asked| name(&asked.id)).await?;
        let ask = Ask::of_grpc(Verb::PeersLabel, asked.options)?;
        if let Some(both) = asked.remove.iter().find(|key| asked.set.contains_key(*key)) {
            return Err(invalid(&Invalid::new("remove", format!("names `{both}`, which is set too"))));
        }
        let mut patch: LabelPatch = asked.set.into_iter().map(|(key, value)| (key, Some(value))).collect();
        patch.extend(asked.remove.into_iter().map(|key| (key, None)));
        let (peer, outcome) = parts(self.0.label(&caller, &ask, &asked.id, &patch).await?);
        Ok(wire::PatchPeerLabelsResponse { peer, outcome })
    }

    async fn watch(&self, request: Request<wire::WatchPeersRequest>) -> Result<Watching, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::PeersWatch, request, |_| "peer".to_owned()).await?;
        let filter = watched([
            ("role", &asked.role),
            ("service", &asked.service),
            ("cluster", &asked.cluster),
            ("status", status_of(asked.status)?.map_or("", PeerStatus::as_str)),
        ]);
        let watch = self.0.gate.watch(filter, asked.after_revision, &asked.resume_token)?;
        Ok(self.0.gate.grpc_watch(watch, |event, peer: Option<Peer>| {
            let peer = peer.map(|peer| peer_to_wire(peer.seen()));
            Ok(wire::WatchPeersResponse { event: Some(event), peer })
        }))
    }

    async fn versions(
        &self,
        request: Request<wire::ListVersionsRequest>,
    ) -> Result<wire::ListVersionsResponse, Status> {
        self.0.gate.grpc(Verb::VersionsList, request, |_| "peer".to_owned()).await?;
        let (versions, revision) = count(&self.0.view);
        let version = |count: crate::versions::VersionCount| wire::VersionCount {
            version: count.version,
            role: count.role,
            peers: count.peers,
            alive: count.alive,
        };
        Ok(wire::ListVersionsResponse {
            versions: versions.into_iter().map(version).collect(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            revision,
        })
    }
}

#[tonic::async_trait]
impl RegistryService for Service {
    type WatchPeersStream = Watching;

    async fn watch_peers(
        &self,
        request: Request<wire::WatchPeersRequest>,
    ) -> Result<Response<Watching>, tonic::Status> {
        grpc_answer(self.watch(request).await)
    }

    async fn list_peers(
        &self,
        request: Request<wire::ListPeersRequest>,
    ) -> Result<Response<wire::ListPeersResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn get_peer(
        &self,
        request: Request<wire::GetPeerRequest>,
    ) -> Result<Response<wire::GetPeerResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn register_peer(
        &self,
        request: Request<wire::RegisterPeerRequest>,
    ) -> Result<Response<wire::RegisterPeerResponse>, tonic::Status> {
        grpc_answer(self.register(request).await)
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatResponse>, tonic::Status> {
        grpc_answer(self.beat(request).await)
    }

    async fn cordon_peer(
        &self,
        request: Request<wire::CordonPeerRequest>,
    ) -> Result<Response<wire::CordonPeerResponse>, tonic::Status> {
        let verb = (Verb::PeersCordon, HoldVerb::Cordon);
        let held = self.hold(verb, request, |asked| (&asked.id, asked.options.clone())).await;
        grpc_answer(held.map(|(peer, outcome)| wire::CordonPeerResponse { peer, outcome }))
    }

    async fn uncordon_peer(
        &self,
        request: Request<wire::UncordonPeerRequest>,
    ) -> Result<Response<wire::UncordonPeerResponse>, tonic::Status> {
        let verb = (Verb::PeersUncordon, HoldVerb::Uncordon);
        let held = self.hold(verb, request, |asked| (&asked.id, asked.options.clone())).await;
        grpc_answer(held.map(|(peer, outcome)| wire::UncordonPeerResponse { peer, outcome }))
    }

    async fn drain_peer(
        &self,
        request: Request<wire::DrainPeerRequest>,
    ) -> Result<Response<wire::DrainPeerResponse>, tonic::Status> {
        let verb = (Verb::PeersDrain, HoldVerb::Drain);
        let held = self.hold(verb, request, |asked| (&asked.id, asked.options.clone())).await;
        grpc_answer(held.map(|(peer, outcome)| wire::DrainPeerResponse { peer, outcome }))
    }

    async fn patch_peer_labels(
        &self,
        request: Request<wire::PatchPeerLabelsRequest>,
    ) -> Result<Response<wire::PatchPeerLabelsResponse>, tonic::Status> {
        grpc_answer(self.label(request).await)
    }

    async fn list_versions(
        &self,
        request: Request<wire::ListVersionsRequest>,
    ) -> Result<Response<wire::ListVersionsResponse>, tonic::Status> {
        grpc_answer(self.versions(request).await)
    }
}

fn name(id: &str) -> String {
    format!("peer/{id}")
}

fn parts(changed: Changed<Peer>) -> Held {
    (Some(peer_to_wire(changed.record)), Some(outcome_to_wire(changed.outcome)))
}
