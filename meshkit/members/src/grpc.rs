//! Members over gRPC.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use meshkit_api::{Listing, Verb, grpc_answer};
use omnirelay_proto::meshkit::v1::{self as wire, members_service_server::MembersService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::feed::follow;
use crate::members::{Members, Shown};
use crate::wire::{event_to_wire, member_to_wire};

pub(crate) struct Service(pub(crate) Arc<Members>);

type Watching = BoxStream<'static, Result<wire::WatchMembersResponse, tonic::Status>>;

impl Service {
    async fn list(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Result<wire::ListMembersResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::MembersList, request, |_| "member".to_owned()).await?;
        let (page, changes) = self.0.list(&Listing::parse::<Shown>(
            &asked.filter,
            &asked.sort,
            asked.page_size,
            asked.page_token,
        )?)?;
        Ok(wire::ListMembersResponse {
            members: page.records.into_iter().map(member_to_wire).collect(),
            next_page_token: page.next_cursor,
            changes,
        })
    }

    async fn get(&self, request: Request<wire::GetMemberRequest>) -> Result<wire::GetMemberResponse, Status> {
        let named = |asked: &wire::GetMemberRequest| format!("member/{}", asked.id);
        let (_, asked) = self.0.gate.grpc(Verb::MembersGet, request, named).await?;
        Ok(wire::GetMemberResponse { member: Some(member_to_wire(self.0.get(&asked.id)?)) })
    }

    async fn watch(&self, request: Request<wire::WatchMembersRequest>) -> Result<Watching, Status> {
        let (_, _asked) = self.0.gate.grpc(Verb::MembersWatch, request, |_| "member".to_owned()).await?;
        Ok(self.0.gate.grpc_of(follow(self.0.membership()?, event_to_wire)))
    }
}

#[tonic::async_trait]
impl MembersService for Service {
    type WatchMembersStream = Watching;

    async fn list_members(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Result<Response<wire::ListMembersResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn get_member(
        &self,
        request: Request<wire::GetMemberRequest>,
    ) -> Result<Response<wire::GetMemberResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn watch_members(
        &self,
        request: Request<wire::WatchMembersRequest>,
    ) -> Result<Response<Watching>, tonic::Status> {
        grpc_answer(self.watch(request).await)
    }
}
