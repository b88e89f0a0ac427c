//! Clusters over gRPC.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use meshkit_api::{Ask, Changed, Listing, Sparse, Verb, grpc_answer, invalid, outcome_to_wire};
use meshkit_model::{Cluster, ClusterRequest, Invalid};
use omnirelay_proto::meshkit::v1::{self as wire, clusters_service_server::ClustersService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::clusters::Clusters;
use crate::rest::{FIELDS, watched};
use crate::wire::{cluster_to_wire, patch_of, sparse, spec_of, state_of};

pub(crate) struct Service(pub(crate) Arc<Clusters>);

type Watching = BoxStream<'static, Result<wire::WatchClustersResponse, tonic::Status>>;

impl Service {
    async fn watch(&self, request: Request<wire::WatchClustersRequest>) -> Result<Watching, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ClustersWatch, request, |_| "cluster".to_owned()).await?;
        let state = state_of(asked.state).map_err(|error| invalid(&error))?;
        let watch = self.0.gate.watch(watched(state), asked.after_revision, &asked.resume_token)?;
        Ok(self.0.gate.grpc_watch(watch, |event, cluster: Option<Cluster>| {
            let cluster = cluster.map(cluster_to_wire);
            Ok(wire::WatchClustersResponse { event: Some(event), cluster })
        }))
    }

    async fn list(
        &self,
        request: Request<wire::ListClustersRequest>,
    ) -> Result<wire::ListClustersResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ClustersList, request, |_| "cluster".to_owned()).await?;
        let fields = Sparse::of_mask(asked.read_mask.as_ref(), FIELDS)?;
        let (page, revision) = self.0.list(&Listing::parse::<Cluster>(
            &asked.filter,
            &asked.sort,
            asked.page_size,
            asked.page_token,
        )?)?;
        let clusters = page.records.into_iter().map(cluster_to_wire);
        Ok(wire::ListClustersResponse {
            clusters: clusters.map(|cluster| sparse(cluster, |name| fields.wants(name))).collect(),
            next_page_token: page.next_cursor,
            revision,
        })
    }

    async fn get(
        &self,
        request: Request<wire::GetClusterRequest>,
    ) -> Result<wire::GetClusterResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ClustersGet, request, |asked| name(&asked.id)).await?;
        Ok(wire::GetClusterResponse { cluster: Some(cluster_to_wire(self.0.get(&asked.id)?)) })
    }

    async fn create(
        &self,
        request: Request<wire::CreateClusterRequest>,
    ) -> Result<wire::CreateClusterResponse, Status> {
        let id = |spec: &Option<wire::ClusterSpec>| spec.as_ref().map_or("", |spec| &spec.id).to_owned();
        let admitted = self.0.gate.grpc(Verb::ClustersCreate, request, |asked| name(&id(&asked.spec)));
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::ClustersCreate, asked.options)?.for_new();
        let spec = spec_of(asked.spec.ok_or_else(missing)?).map_err(|error| invalid(&error))?;
        let (cluster, outcome) = parts(self.0.create(&caller, &ask, spec).await?);
        Ok(wire::CreateClusterResponse { cluster, outcome })
    }

    async fn update(
        &self,
        request: Request<wire::UpdateClusterRequest>,
    ) -> Result<wire::UpdateClusterResponse, Status> {
        let id = |spec: &Option<wire::ClusterSpec>| spec.as_ref().map_or("", |spec| &spec.id).to_owned();
        let admitted = self.0.gate.grpc(Verb::ClustersUpdate, request, |asked| name(&id(&asked.spec)));
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::ClustersUpdate, asked.options)?;
        let spec = spec_of(asked.spec.ok_or_else(missing)?).map_err(|error| invalid(&error))?;
        let found = self.0.get(&spec.id)?;
        let mask = asked.update_mask.unwrap_or_default().paths;
        let patch = patch_of(&found.spec, &spec, &mask).map_err(|error| invalid(&error))?;
        let (cluster, outcome) = parts(self.0.update(&caller, &ask, &spec.id, &patch).await?);
        Ok(wire::UpdateClusterResponse { cluster, outcome })
    }

    async fn promote(
        &self,
        request: Request<wire::PromoteClusterRequest>,
    ) -> Result<wire::PromoteClusterResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::ClustersPromote, request, |asked| name(&asked.id));
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::ClustersPromote, asked.options)?;
        let step = ClusterRequest::Promote { pass_over: asked.pass_over };
        let (cluster, outcome) = parts(self.0.request(&caller, &ask, &asked.id, step).await?);
        Ok(wire::PromoteClusterResponse { cluster, outcome })
    }

    async fn demote(
        &self,
        request: Request<wire::DemoteClusterRequest>,
    ) -> Result<wire::DemoteClusterResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::ClustersDemote, request, |asked| name(&asked.id));
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::ClustersDemote, asked.options)?;
        let to = state_of(asked.to).map_err(|error| invalid(&error))?;
        let step = ClusterRequest::Demote { to };
        let (cluster, outcome) = parts(self.0.request(&caller, &ask, &asked.id, step).await?);
        Ok(wire::DemoteClusterResponse { cluster, outcome })
    }
}

#[tonic::async_trait]
impl ClustersService for Service {
    type WatchClustersStream = Watching;

    async fn watch_clusters(
        &self,
        request: Request<wire::WatchClustersRequest>,
    ) -> Result<Response<Watching>, tonic::Status> {
        grpc_answer(self.watch(request).await)
    }

    async fn list_clusters(
        &self,
        request: Request<wire::ListClustersRequest>,
    ) -> Result<Response<wire::ListClustersResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn get_cluster(
        &self,
        request: Request<wire::GetClusterRequest>,
    ) -> Result<Response<wire::GetClusterResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn create_cluster(
        &self,
        request: Request<wire::CreateClusterRequest>,
    ) -> Result<Response<wire::CreateClusterResponse>, tonic::Status> {
        grpc_answer(self.create(request).await)
    }

    async fn update_cluster(
        &self,
        request: Request<wire::UpdateClusterRequest>,
    ) -> Result<Response<wire::UpdateClusterResponse>, tonic::Status> {
        grpc_answer(self.update(request).await)
    }

    async fn promote_cluster(
        &self,
        request: Request<wire::PromoteClusterRequest>,
    ) -> Result<Response<wire::PromoteClusterResponse>, tonic::Status> {
        grpc_answer(self.promote(request).await)
    }

    async fn demote_cluster(
        &self,
        request: Request<wire::DemoteClusterRequest>,
    ) -> Result<Response<wire::DemoteClusterResponse>, tonic::Status> {
        grpc_answer(self.demote(request).await)
    }
}

fn name(id: &str) -> String {
    format!("cluster/{id}")
}

fn missing() -> Status {
    invalid(&Invalid::new("spec", "is missing"))
}

fn parts(changed: Changed<Cluster>) -> (Option<wire::Cluster>, Option<wire::ChangeOutcome>) {
    (Some(cluster_to_wire(changed.record)), Some(outcome_to_wire(changed.outcome)))
}
