//! Who gossips.

use omnirelay_proto::meshkit::v1;
use v1::members_service_client::MembersServiceClient;

use crate::client::{Answer, MeshClient};
use crate::error::MeshError;
use crate::wire::Wire;

impl MeshClient {
    pub(crate) fn members_service(&self) -> MembersServiceClient<Wire> {
        MembersServiceClient::new(self.wire.clone())
    }

    /// One page of members in the order of their names, as the meshkitd that answers sees them; `page_size` 0
    /// means 100, an empty token the first page.
    ///
    /// # Errors
    /// `failed-precondition` where that meshkitd does not gossip.
    pub async fn list_members(
        &self,
        filter: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListMembersResponse>, MeshError> {
        let request = v1::ListMembersRequest {
            filter: filter.to_owned(),
            sort: String::new(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let mut client = self.members_service();
        self.call(request, async |request| client.list_members(request).await).await
    }

    /// One member.
    ///
    /// # Errors
    /// `not-found` where nobody of that name was heard of.
    pub async fn get_member(&self, id: &str) -> Result<Answer<v1::Member>, MeshError> {
        let request = v1::GetMemberRequest { id: id.to_owned() };
        let mut client = self.members_service();
        let answer = self.call(request, async |request| client.get_member(request).await).await?;
        self.present(answer, |answer| answer.member)
    }
}
