//! Join tokens, certificates and revocations.

use omnirelay_proto::meshkit::v1;
use v1::bootstrap_service_client::BootstrapServiceClient;

use crate::change::{Change, Changed, changed};
use crate::client::{Answer, MeshClient, PAGE};
use crate::error::MeshError;
use crate::wire::Wire;

/// A join token as it was issued.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuedToken {
    /// The token without its secret, and how that went.
    pub changed: Changed<v1::JoinToken>,
    /// The token itself, shown this once; empty after a dry run and in an answer that is repeated.
    pub token: String,
    /// The authorities that whoever joins has to believe, as PEM.
    pub trust_bundle: String,
}

impl MeshClient {
    fn bootstrap(&self) -> BootstrapServiceClient<Wire> {
        BootstrapServiceClient::new(self.wire.clone())
    }

    /// Makes a token that lets peers join.
    ///
    /// # Errors
    /// `invalid-argument` names the field that is off, `failed-precondition` where the control plane has no authority.
    pub async fn issue_join_token(
        &self,
        spec: v1::JoinTokenSpec,
        change: &Change,
    ) -> Result<Answer<IssuedToken>, MeshError> {
        let request = v1::IssueJoinTokenRequest { spec: Some(spec), options: Some(change.options()) };
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.issue_join_token(request).await).await?;
        self.present(answer, |answer| {
            let changed = changed(answer.join_token, answer.outcome)?;
            Some(IssuedToken { changed, token: answer.token, trust_bundle: answer.trust_bundle })
        })
    }

    /// One page of join tokens; `page_size` 0 means 100, an empty token the first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_join_tokens(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListJoinTokensResponse>, MeshError> {
        let request = v1::ListJoinTokensRequest { page_size, page_token: page_token.to_owned() };
        let mut client = self.bootstrap();
        self.call(request, async |request| client.list_join_tokens(request).await).await
    }

    /// Lets a join token count no more; who joined by it stays.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn withdraw_join_token(
        &self,
        id: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::JoinToken>>, MeshError> {
        let request = v1::WithdrawJoinTokenRequest { id: id.to_owned(), options: Some(change.options()) };
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.withdraw_join_token(request).await).await?;
        self.present(answer, |answer| changed(answer.join_token, answer.outcome))
    }

    /// Gets a first certificate; this client's credentials are the join token.
    ///
    /// # Errors
    /// `unauthenticated` where the token counts no more, `already-exists` where the name is taken.
    pub async fn join(&self, request: v1::JoinRequest) -> Result<Answer<v1::IssuedCertificate>, MeshError> {
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.join(request).await).await?;
        self.present(answer, |answer| answer.certificate)
    }

    /// Gets the next certificate; this client shows the present one.
    ///
    /// # Errors
    /// `failed-precondition` where the caller did not join by a token, `permission-denied` where it was revoked.
    pub async fn renew_certificate(&self, csr: &str) -> Result<Answer<v1::IssuedCertificate>, MeshError> {
        let request = v1::RenewCertificateRequest { csr: csr.to_owned() };
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.renew_certificate(request).await).await?;
        self.present(answer, |answer| answer.certificate)
    }

    /// The authorities to believe and the list of revoked certificates.
    ///
    /// # Errors
    /// `failed-precondition` where the control plane has no authority.
    pub async fn trust(&self) -> Result<Answer<v1::GetTrustResponse>, MeshError> {
        let mut client = self.bootstrap();
        self.call(v1::GetTrustRequest {}, async |request| client.get_trust(request).await).await
    }

    /// One page of those who joined; `page_size` 0 means 100, an empty token the first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_identities(
        &self,
        filter: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListIdentitiesResponse>, MeshError> {
        let request = v1::ListIdentitiesRequest {
            filter: filter.to_owned(),
            sort: String::new(),
            page_size: page_size.min(PAGE),
            page_token: page_token.to_owned(),
        };
        let mut client = self.bootstrap();
        self.call(request, async |request| client.list_identities(request).await).await
    }

    /// Who joined under a name.
    ///
    /// # Errors
    /// `not-found` where nobody did.
    pub async fn get_identity(&self, name: &str) -> Result<Answer<v1::Identity>, MeshError> {
        let request = v1::GetIdentityRequest { name: name.to_owned() };
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.get_identity(request).await).await?;
        self.present(answer, |answer| answer.identity)
    }

    /// Lets all certificates of somebody count no more. To be confirmed.
    ///
    /// # Errors
    /// `not-found` where nobody joined under the name.
    pub async fn revoke_identity(
        &self,
        name: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Identity>>, MeshError> {
        let request = v1::RevokeIdentityRequest { name: name.to_owned(), options: Some(change.options()) };
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.revoke_identity(request).await).await?;
        self.present(answer, |answer| changed(answer.identity, answer.outcome))
    }

    /// Lets one certificate of the authority count no more, whoever issued it. To be confirmed.
    ///
    /// # Errors
    /// `invalid-argument` for what is no serial number.
    pub async fn revoke_certificate(
        &self,
        serial: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Revocation>>, MeshError> {
        let request =
            v1::RevokeCertificateRequest { serial: serial.to_owned(), options: Some(change.options()) };
        let mut client = self.bootstrap();
        let answer = self.call(request, async |request| client.revoke_certificate(request).await).await?;
        self.present(answer, |answer| changed(answer.revocation, answer.outcome))
    }

    /// Follows revocations from now on. The stream ends with the control plane's process: whoever needs all of them reads
    /// [`trust`](Self::trust) behind each beginning.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn watch_revocations(
        &self,
    ) -> Result<tonic::Streaming<v1::WatchRevocationsResponse>, MeshError> {
        let watched = self.bootstrap().watch_revocations(v1::WatchRevocationsRequest::default()).await;
        watched
            .map(tonic::Response::into_inner)
            .map_err(|status| MeshError::from_grpc(self.channel().endpoint(), &status))
    }
}
