//! Bootstrap over REST.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use meshkit_api::{
    Changed, Listing, NoQuery, Operation, Problem, Reply, Verb, change_reply, etag_of_revision, invalid,
    rest_body, resume_token, strong_etag,
};
use meshkit_model::{Identity, Invalid, JoinTokenSpec, Kind, Revocation};
use meshkit_store::Filter as WatchFilter;
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bootstrap::Bootstrap;
use crate::join::Asked;
use crate::wire::{ShownCertificate, ShownToken, ShownTrust};

type Shared = State<Arc<Bootstrap>>;

pub(crate) fn routes(bootstrap: Arc<Bootstrap>) -> Router {
    Router::new()
        .route("/meshkit/bootstrap:join", post(join))
        .route("/meshkit/bootstrap:renew", post(renew))
        .route("/meshkit/trust", get(trust))
        .route("/meshkit/join-tokens", get(tokens).post(issue))
        .route("/meshkit/join-tokens/{id}", post(token_verb))
        .route("/meshkit/identities", get(identities))
        .route("/meshkit/identities/{id}", get(identity).post(identity_verb))
        .route("/meshkit/revocations", post(revoke_certificate))
        .route("/meshkit/revocations:watch", get(watch))
        .with_state(bootstrap)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::report::<JoinBody, ShownCertificate<'_>>(Verb::BootstrapJoin),
        Operation::report::<RenewBody, ShownCertificate<'_>>(Verb::BootstrapRenew),
        Operation::read::<ShownTrust<'_>>(Verb::TrustGet),
        Operation::change::<IssueBody, ShownToken<'_>>(Verb::JoinTokensIssue, "joinToken")
            .answers::<IssueReply<'_>>()
            .creates(),
        Operation::page::<ShownToken<'_>>(Verb::JoinTokensList, "joinTokens", "revision")
            .query::<PageQuery>(),
        Operation::change::<NoBody, ShownToken<'_>>(Verb::JoinTokensWithdraw, "joinToken"),
        Operation::page::<Identity>(Verb::IdentitiesList, "identities", "revision").listed(&[]).conditional(),
        Operation::read::<Identity>(Verb::IdentitiesGet).conditional(),
        Operation::change::<NoBody, Identity>(Verb::IdentitiesRevoke, "identity"),
        Operation::change::<RevokeBody, Revocation>(Verb::RevocationsAdd, "revocation").of_nothing_seen(),
        Operation::watch::<Revocation>(Verb::RevocationsWatch).query::<WatchQuery>(),
    ]
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct JoinBody {
    csr: String,
    name: String,
    hosts: Vec<String>,
}

/// The one path for callers that the mesh does not know yet: the token is looked at before a byte of the body is.
async fn join(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, body) = request.into_parts();
    let joiner = bootstrap.joiner(&parts.headers).await?;
    let JoinBody { csr, name, hosts } = rest_body(&parts, body).await?;
    let issued = bootstrap.join(&joiner, &Asked { csr, name, hosts }).await?;
    Ok(Reply::json(&ShownCertificate::from(&issued))?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RenewBody {
    csr: String,
}

async fn renew(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let admitted = bootstrap.gate.rest_report::<RenewBody>(Verb::BootstrapRenew, request, "identity");
    let (caller, body) = admitted.await?;
    let issued = bootstrap.renew(&caller, &body.csr).await?;
    Ok(Reply::json(&ShownCertificate::from(&issued))?)
}

async fn trust(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, NoQuery {}) = bootstrap.gate.rest_read(Verb::TrustGet, request, "trust").await?;
    Ok(Reply::json(&ShownTrust::from(&*bootstrap.list().await?))?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct IssueBody {
    spec: Option<JoinTokenSpec>,
}

/// A token as its issuer gets it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IssuedJoinToken")]
#[serde(rename_all = "camelCase")]
struct IssueReply<'a> {
    join_token: ShownToken<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    token: &'a str,
    trust_bundle: &'a str,
    outcome: &'a meshkit_api::Outcome,
}

async fn issue(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let admitted = bootstrap.gate.rest_change::<IssueBody>(Verb::JoinTokensIssue, request, "join-token");
    let (caller, ask, body) = admitted.await?;
    let spec = body.spec.ok_or_else(|| invalid(&Invalid::new("spec", "is missing")))?;
    let issued = bootstrap.issue(&caller, &ask.for_new(), spec).await?;
    let record = &issued.changed.record;
    let reply = Reply::json(&IssueReply {
        join_token: record.into(),
        token: &issued.token,
        trust_bundle: &issued.bundle,
        outcome: &issued.changed.outcome,
    })?
    .tagged(strong_etag(record.record_version));
    let is_dry = issued.changed.outcome.dry_run;
    Ok(if is_dry { reply } else { reply.created(format!("/meshkit/join-tokens/{}", record.id)) })
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokensReply<'a> {
    join_tokens: Vec<ShownToken<'a>>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "str::is_empty")]
    next_cursor: &'a str,
    revision: u64,
}

async fn tokens(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let read = bootstrap.gate.rest_read::<PageQuery>(Verb::JoinTokensList, request, "join-token");
    let (_, asked) = read.await?;
    let (page, revision) = bootstrap.tokens(asked.limit, &asked.cursor)?;
    let join_tokens = page.records.iter().map(Into::into).collect();
    Ok(Reply::json(&TokensReply { join_tokens, next_cursor: &page.next_cursor, revision })?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoBody {}

async fn token_verb(
    State(bootstrap): Shared,
    Path(path): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let Some(id) = path.strip_suffix(":withdraw") else {
        return Err(
            nothing(&bootstrap, Verb::JoinTokensList, request, "/meshkit/join-tokens/{id}:withdraw").await
        );
    };
    let name = format!("join-token/{id}");
    let (caller, ask, NoBody {}) =
        bootstrap.gate.rest_change(Verb::JoinTokensWithdraw, request, &name).await?;
    let changed = bootstrap.withdraw(&caller, &ask, id).await?;
    let etag = strong_etag(changed.record.record_version);
    let shown = ShownToken::from(&changed.record);
    Ok(change_reply("joinToken", &shown, &changed.outcome)?.tagged(etag))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    filter: String,
    sort: String,
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentitiesReply {
    identities: Vec<Identity>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

async fn identities(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let read = bootstrap.gate.rest_read::<ListQuery>(Verb::IdentitiesList, request, "identity");
    let (parts, asked) = read.await?;
    let listing = Listing::parse::<Identity>(&asked.filter, &asked.sort, asked.limit, asked.cursor)?;
    let etag = |revision| etag_of_revision(bootstrap.view.identity(), revision);
    if let Some(reply) = Reply::not_modified(&parts.headers, &etag(bootstrap.view.revision())) {
        return Ok(reply);
    }
    let (page, revision) = bootstrap.identities(&listing)?;
    let reply = IdentitiesReply { identities: page.records, next_cursor: page.next_cursor, revision };
    Ok(Reply::json(&reply)?.tagged(etag(revision)))
}

async fn identity(
    State(bootstrap): Shared,
    Path(id): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let name = format!("identity/{id}");
    let (parts, NoQuery {}) = bootstrap.gate.rest_read(Verb::IdentitiesGet, request, &name).await?;
    let identity = bootstrap.identity(&id)?;
    Ok(Reply::json_unless_held(&parts.headers, strong_etag(identity.record_version), &identity)?)
}

async fn identity_verb(
    State(bootstrap): Shared,
    Path(path): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let Some(id) = path.strip_suffix(":revoke") else {
        return Err(
            nothing(&bootstrap, Verb::IdentitiesGet, request, "/meshkit/identities/{id}:revoke").await
        );
    };
    let name = format!("identity/{id}");
    let (caller, ask, NoBody {}) = bootstrap.gate.rest_change(Verb::IdentitiesRevoke, request, &name).await?;
    let Changed { record, outcome } = bootstrap.revoke(&caller, &ask, id).await?;
    Ok(change_reply("identity", &record, &outcome)?.tagged(strong_etag(record.record_version)))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RevokeBody {
    serial: String,
}

async fn revoke_certificate(State(bootstrap): Shared, request: Request) -> Result<Reply, Problem> {
    let admitted = bootstrap.gate.rest_change::<RevokeBody>(Verb::RevocationsAdd, request, "revocation");
    let (caller, ask, body) = admitted.await?;
    let Changed { record, outcome } =
        bootstrap.revoke_certificate(&caller, &ask.for_new(), &body.serial).await?;
    Ok(change_reply("revocation", &record, &outcome)?.tagged(strong_etag(record.record_version)))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    after: u64,
    resume: String,
}

async fn watch(State(bootstrap): Shared, request: Request) -> Result<Response, Problem> {
    let read = bootstrap.gate.rest_read::<WatchQuery>(Verb::RevocationsWatch, request, "revocation");
    let (parts, asked) = read.await?;
    let token = resume_token(&parts.headers, &asked.resume)?;
    let watch = bootstrap.gate.watch(WatchFilter::of([Kind::Revocation]), asked.after, token)?;
    Ok(bootstrap.gate.sse(watch, |revocation: Revocation| revocation))
}

/// Why a path takes nothing, for those who may know.
async fn nothing(bootstrap: &Bootstrap, verb: Verb, request: Request, posts: &str) -> Problem {
    let (parts, _) = request.into_parts();
    match bootstrap.gate.admit(verb, &parts.extensions, &parts.headers, "bootstrap").await {
        Err(status) => status.into(),
        Ok(_) => Status::not_found(format!("nothing is posted to {}", parts.uri.path()))
            .with_hint(format!("post to {posts}"))
            .into(),
    }
}
