//! Leaders over gRPC.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use meshkit_api::{Ask, Listing, Verb, grpc_answer, outcome_to_wire};
use meshkit_model::Lease;
use omnirelay_proto::meshkit::v1::{self as wire, leaders_service_server::LeadersService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::leaders::Leaders;
use crate::rest::scope_of;
use crate::wire::{item_to_wire, lease_to_wire};

pub(crate) struct Service(pub(crate) Arc<Leaders>);

type Watching = BoxStream<'static, Result<wire::WatchLeadersResponse, tonic::Status>>;

impl Service {
    async fn list(
        &self,
        request: Request<wire::ListLeadersRequest>,
    ) -> Result<wire::ListLeadersResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::LeadersList, request, |_| "lease".to_owned()).await?;
        let (page, revision) = self.0.list(&Listing::parse::<Lease>(
            &asked.filter,
            &asked.sort,
            asked.page_size,
            asked.page_token,
        )?)?;
        Ok(wire::ListLeadersResponse {
            leases: page.records.into_iter().map(lease_to_wire).collect(),
            next_page_token: page.next_cursor,
            revision,
        })
    }

    async fn get(&self, request: Request<wire::GetLeaderRequest>) -> Result<wire::GetLeaderResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::LeadersGet, request, |asked| name(&asked.scope)).await?;
        Ok(wire::GetLeaderResponse { lease: Some(lease_to_wire(self.0.get(&asked.scope)?)) })
    }

    async fn resign(
        &self,
        request: Request<wire::ResignLeaderRequest>,
    ) -> Result<wire::ResignLeaderResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::LeadersResign, request, |asked| name(&asked.scope));
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::LeadersResign, asked.options)?;
        let changed = self.0.resign(&caller, &ask, &asked.scope).await?;
        Ok(wire::ResignLeaderResponse {
            lease: Some(lease_to_wire(changed.record)),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }

    async fn watch(&self, request: Request<wire::WatchLeadersRequest>) -> Result<Watching, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::LeadersWatch, request, |_| "lease".to_owned()).await?;
        let feed = self.0.follow(scope_of(&asked.scope)?, &asked.resume_token)?;
        Ok(self.0.gate.grpc_of(feed.stream(Arc::clone(&self.0), item_to_wire)))
    }
}

#[tonic::async_trait]
impl LeadersService for Service {
    type WatchLeadersStream = Watching;

    async fn list_leaders(
        &self,
        request: Request<wire::ListLeadersRequest>,
    ) -> Result<Response<wire::ListLeadersResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn get_leader(
        &self,
        request: Request<wire::GetLeaderRequest>,
    ) -> Result<Response<wire::GetLeaderResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn resign_leader(
        &self,
        request: Request<wire::ResignLeaderRequest>,
    ) -> Result<Response<wire::ResignLeaderResponse>, tonic::Status> {
        grpc_answer(self.resign(request).await)
    }

    async fn watch_leaders(
        &self,
        request: Request<wire::WatchLeadersRequest>,
    ) -> Result<Response<Watching>, tonic::Status> {
        grpc_answer(self.watch(request).await)
    }
}

fn name(scope: &str) -> String {
    format!("lease/{scope}")
}
