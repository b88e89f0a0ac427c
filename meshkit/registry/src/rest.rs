//! The registry over REST.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use http::request::Parts;
use meshkit_api::{Caller, Problem, Reply, etag_of_record, invalid, json_body, json_body_or_default, query};
use meshkit_model::{Endpoint, Peer, PeerId, PeerSpec, PeerStatus};
use relay_core::{Scope, Status};
use serde::{Deserialize, Serialize};

use crate::registry::{Listing, Registry};

type Shared = State<Arc<Registry>>;

pub(crate) fn routes(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/meshkit/peers", get(list).post(register))
        .route("/meshkit/peers/{id}", get(read))
        .route("/meshkit/peers/{id}", post(verb))
        .with_state(registry)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct ListQuery {
    role: String,
    service: String,
    cluster: String,
    status: Option<String>,
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    peers: Vec<Peer>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegisterBody {
    id: String,
    role: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegisterReply {
    peer: Peer,
    heartbeat_interval_ms: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct HeartbeatBody {
    leaving: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeartbeatReply {
    heartbeat_interval_ms: u32,
}

/// No parameters are taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoQuery {}

async fn list(State(registry): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, _) = request.into_parts();
    caller(&registry, &parts, Scope::Read)?;
    let asked: ListQuery = query(&parts.uri)?;
    let status = asked.status.filter(|status| !status.is_empty());
    let status = status.map(|status| status.parse::<PeerStatus>()).transpose();
    let listing = Listing {
        role: asked.role,
        service: asked.service,
        cluster: asked.cluster,
        status: status.map_err(|error| invalid(&error))?,
        limit: asked.limit,
        cursor: asked.cursor,
    };
    if let Some(reply) = Reply::not_modified(&parts.headers, &registry.etag()) {
        return Ok(reply);
    }
    let page = registry.list(listing)?;
    let etag = registry.etag_at(page.revision);
    let reply = ListReply { peers: page.peers, next_cursor: page.next_cursor, revision: page.revision };
    Ok(Reply::json(&reply)?.tagged(etag))
}

async fn read(State(registry): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let (parts, _) = request.into_parts();
    caller(&registry, &parts, Scope::Read)?;
    let NoQuery {} = query(&parts.uri)?;
    let peer = registry.get(&id)?;
    Ok(Reply::json_unless_held(&parts.headers, etag_of_record(peer.record_version), &peer)?)
}

async fn register(State(registry): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, body) = request.into_parts();
    let caller = caller(&registry, &parts, Scope::Observe)?;
    let NoQuery {} = query(&parts.uri)?;
    let body: RegisterBody = json_body(&parts.headers, body).await?;
    let spec = PeerSpec {
        id: PeerId::new(body.id).map_err(|error| invalid(&error))?,
        role: body.role,
        service: body.service,
        cluster: body.cluster,
        zone: body.zone,
        version: body.version,
        endpoints: body.endpoints,
        labels: body.labels,
    };
    let (peer, is_new) = registry.register(&caller, spec).await?;
    let path = format!("/meshkit/peers/{}", peer.spec.id);
    let etag = etag_of_record(peer.record_version);
    let reply = RegisterReply { peer, heartbeat_interval_ms: registry.heartbeat_interval_ms() };
    let reply = Reply::json(&reply)?.tagged(etag);
    Ok(if is_new { reply.created(path) } else { reply })
}

/// Verbs follow the id after a colon: `POST /meshkit/peers/greeter-1:heartbeat`.
async fn verb(State(registry): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let (parts, body) = request.into_parts();
    let caller = caller(&registry, &parts, Scope::Observe)?;
    let NoQuery {} = query(&parts.uri)?;
    let Some((id, "heartbeat")) = id.split_once(':') else {
        let status = Status::not_found(format!("nothing is posted to {}", parts.uri.path()))
            .with_hint("post to /meshkit/peers/{id}:heartbeat, or to /meshkit/peers to register");
        return Err(status.into());
    };
    let body: HeartbeatBody = json_body_or_default(&parts.headers, body).await?;
    registry.heartbeat(&caller, id, body.leaving).await?;
    Ok(Reply::json(&HeartbeatReply { heartbeat_interval_ms: registry.heartbeat_interval_ms() })?)
}

fn caller(registry: &Registry, parts: &Parts, scope: Scope) -> Result<Caller, Status> {
    Caller::of(&registry.auth, &parts.extensions, &parts.headers, scope)
}
