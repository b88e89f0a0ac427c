//! Bootstrap over gRPC.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use meshkit_api::{Ask, Listing, Verb, grpc_answer, invalid, outcome_to_wire};
use meshkit_model::{Identity, Invalid, Kind, Revocation};
use meshkit_store::Filter;
use omnirelay_proto::meshkit::v1::{self as wire, bootstrap_service_server::BootstrapService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::bootstrap::Bootstrap;
use crate::join::Asked;
use crate::wire::{identity_to_wire, issued_to_wire, revocation_to_wire, spec_of, token_to_wire};

pub(crate) struct Service(pub(crate) Arc<Bootstrap>);

type Watching = BoxStream<'static, Result<wire::WatchRevocationsResponse, tonic::Status>>;

impl Service {
    async fn issue(
        &self,
        request: Request<wire::IssueJoinTokenRequest>,
    ) -> Result<wire::IssueJoinTokenResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::JoinTokensIssue, request, |_| "join-token".to_owned());
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::JoinTokensIssue, asked.options)?.for_new();
        let spec = asked.spec.ok_or_else(|| invalid(&Invalid::new("spec", "is missing")))?;
        let issued = self.0.issue(&caller, &ask, spec_of(spec)).await?;
        Ok(wire::IssueJoinTokenResponse {
            join_token: Some(token_to_wire(issued.changed.record)),
            token: issued.token,
            trust_bundle: issued.bundle,
            outcome: Some(outcome_to_wire(issued.changed.outcome)),
        })
    }

    async fn tokens(
        &self,
        request: Request<wire::ListJoinTokensRequest>,
    ) -> Result<wire::ListJoinTokensResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::JoinTokensList, request, |_| "join-token".to_owned());
        let (_, asked) = admitted.await?;
        let (page, revision) = self.0.tokens(asked.page_size, &asked.page_token)?;
        let join_tokens = page.records.into_iter().map(token_to_wire).collect();
        Ok(wire::ListJoinTokensResponse { join_tokens, next_page_token: page.next_cursor, revision })
    }

    async fn withdraw(
        &self,
        request: Request<wire::WithdrawJoinTokenRequest>,
    ) -> Result<wire::WithdrawJoinTokenResponse, Status> {
        let name = |asked: &wire::WithdrawJoinTokenRequest| format!("join-token/{}", asked.id);
        let (caller, asked) = self.0.gate.grpc(Verb::JoinTokensWithdraw, request, name).await?;
        let ask = Ask::of_grpc(Verb::JoinTokensWithdraw, asked.options)?;
        let changed = self.0.withdraw(&caller, &ask, &asked.id).await?;
        Ok(wire::WithdrawJoinTokenResponse {
            join_token: Some(token_to_wire(changed.record)),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }

    async fn join(&self, request: Request<wire::JoinRequest>) -> Result<wire::JoinResponse, Status> {
        let (metadata, _, asked) = request.into_parts();
        let joiner = self.0.joiner(metadata.as_ref()).await?;
        let asked = Asked { csr: asked.csr, name: asked.name, hosts: asked.hosts };
        let issued = self.0.join(&joiner, &asked).await?;
        Ok(wire::JoinResponse { certificate: Some(issued_to_wire(issued)) })
    }

    async fn renew(
        &self,
        request: Request<wire::RenewCertificateRequest>,
    ) -> Result<wire::RenewCertificateResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::BootstrapRenew, request, |_| "identity".to_owned());
        let (caller, asked) = admitted.await?;
        let issued = self.0.renew(&caller, &asked.csr).await?;
        Ok(wire::RenewCertificateResponse { certificate: Some(issued_to_wire(issued)) })
    }

    async fn trust(&self, request: Request<wire::GetTrustRequest>) -> Result<wire::GetTrustResponse, Status> {
        self.0.gate.grpc(Verb::TrustGet, request, |_| "trust".to_owned()).await?;
        let list = self.0.list().await?;
        Ok(wire::GetTrustResponse {
            trust_bundle: list.bundle.clone(),
            revocation_list: list.revocation_list.clone(),
        })
    }

    async fn identities(
        &self,
        request: Request<wire::ListIdentitiesRequest>,
    ) -> Result<wire::ListIdentitiesResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::IdentitiesList, request, |_| "identity".to_owned());
        let (_, asked) = admitted.await?;
        let listing =
            Listing::parse::<Identity>(&asked.filter, &asked.sort, asked.page_size, asked.page_token)?;
        let (page, revision) = self.0.identities(&listing)?;
        let identities = page.records.into_iter().map(identity_to_wire).collect();
        Ok(wire::ListIdentitiesResponse { identities, next_page_token: page.next_cursor, revision })
    }

    async fn identity(
        &self,
        request: Request<wire::GetIdentityRequest>,
    ) -> Result<wire::GetIdentityResponse, Status> {
        let name = |asked: &wire::GetIdentityRequest| format!("identity/{}", asked.name);
        let (_, asked) = self.0.gate.grpc(Verb::IdentitiesGet, request, name).await?;
        let identity = self.0.identity(&asked.name)?;
        Ok(wire::GetIdentityResponse { identity: Some(identity_to_wire(identity)) })
    }

    async fn revoke(
        &self,
        request: Request<wire::RevokeIdentityRequest>,
    ) -> Result<wire::RevokeIdentityResponse, Status> {
        let name = |asked: &wire::RevokeIdentityRequest| format!("identity/{}", asked.name);
        let (caller, asked) = self.0.gate.grpc(Verb::IdentitiesRevoke, request, name).await?;
        let ask = Ask::of_grpc(Verb::IdentitiesRevoke, asked.options)?;
        let changed = self.0.revoke(&caller, &ask, &asked.name).await?;
        Ok(wire::RevokeIdentityResponse {
            identity: Some(identity_to_wire(changed.record)),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }

    async fn revoke_certificate(
        &self,
        request: Request<wire::RevokeCertificateRequest>,
    ) -> Result<wire::RevokeCertificateResponse, Status> {
        let admitted = self.0.gate.grpc(Verb::RevocationsAdd, request, |_| "revocation".to_owned());
        let (caller, asked) = admitted.await?;
        let ask = Ask::of_grpc(Verb::RevocationsAdd, asked.options)?.for_new();
        let changed = self.0.revoke_certificate(&caller, &ask, &asked.serial).await?;
        Ok(wire::RevokeCertificateResponse {
            revocation: Some(revocation_to_wire(changed.record)),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }

    async fn watch(&self, request: Request<wire::WatchRevocationsRequest>) -> Result<Watching, Status> {
        let admitted = self.0.gate.grpc(Verb::RevocationsWatch, request, |_| "revocation".to_owned());
        let (_, asked) = admitted.await?;
        let filter = Filter::of([Kind::Revocation]);
        let watch = self.0.gate.watch(filter, asked.after_revision, &asked.resume_token)?;
        Ok(self.0.gate.grpc_watch(watch, |event, revocation: Option<Revocation>| {
            let revocation = revocation.map(revocation_to_wire);
            Ok(wire::WatchRevocationsResponse { event: Some(event), revocation })
        }))
    }
}

/// The methods of the contract, each by the one above that answers it.
macro_rules! methods {
    ($($method:ident($request:ident) -> $response:ident: $by:ident;)*) => {
        #[tonic::async_trait]
        impl BootstrapService for Service {
            type WatchRevocationsStream = Watching;

            async fn watch_revocations(
                &self,
                request: Request<wire::WatchRevocationsRequest>,
            ) -> Result<Response<Watching>, tonic::Status> {
                grpc_answer(self.watch(request).await)
            }

            $(
                async fn $method(
                    &self,
                    request: Request<wire::$request>,
                ) -> Result<Response<wire::$response>, tonic::Status> {
                    grpc_answer(self.$by(request).await)
                }
            )*
        }
    };
}

methods! {
    issue_join_token(IssueJoinTokenRequest) -> IssueJoinTokenResponse: issue;
    list_join_tokens(ListJoinTokensRequest) -> ListJoinTokensResponse: tokens;
    withdraw_join_token(WithdrawJoinTokenRequest) -> WithdrawJoinTokenResponse: withdraw;
    join(JoinRequest) -> JoinResponse: join;
    renew_certificate(RenewCertificateRequest) -> RenewCertificateResponse: renew;
    get_trust(GetTrustRequest) -> GetTrustResponse: trust;
    list_identities(ListIdentitiesRequest) -> ListIdentitiesResponse: identities;
    get_identity(GetIdentityRequest) -> GetIdentityResponse: identity;
    revoke_identity(RevokeIdentityRequest) -> RevokeIdentityResponse: revoke;
    revoke_certificate(RevokeCertificateRequest) -> RevokeCertificateResponse: revoke_certificate;
}
