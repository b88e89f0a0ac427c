//! The registry over REST.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use meshkit_api::{
    Changed, Listing, NoQuery, Operation, Problem, Reply, Sparse, Verb, change_reply, etag_of_record,
    invalid, resume_token, valid,
};
use meshkit_model::{Endpoint, HoldVerb, Invalid, Kind, LabelPatch, Peer, PeerId, PeerSpec, PeerStatus};
use meshkit_store::Filter as WatchFilter;
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::registry::Registry;
use crate::versions::{VersionCount, count};

/// The fields of a peer, for `fields`.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "role",
    "service",
    "cluster",
    "zone",
    "version",
    "endpoints",
    "labels",
    "status",
    "registeredAt",
    "lastSeenAt",
    "hold",
    "labelPatch",
    "recordVersion",
];

type Shared = State<Arc<Registry>>;

pub(crate) fn routes(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/meshkit/peers", get(list).post(register))
        .route("/meshkit/peers/{id}", get(read).patch(label).post(verb))
        .route("/meshkit/peers:watch", get(watch))
        .route("/meshkit/versions", get(versions))
        .with_state(registry)
}

/// What a listing of peers is narrowed by beside its filter.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "the document is made of its type alone")]
struct WhichPeers {
    role: String,
    service: String,
    cluster: String,
    status: String,
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<Peer>(Verb::PeersList, "peers", "revision")
            .query::<WhichPeers>()
            .listed(FIELDS)
            .conditional(),
        Operation::read::<Peer>(Verb::PeersGet).conditional(),
        Operation::watch::<Peer>(Verb::PeersWatch).query::<WatchQuery>(),
        Operation::report::<RegisterBody, RegisterReply>(Verb::PeersRegister).creates(),
        Operation::report::<HeartbeatBody, HeartbeatReply>(Verb::PeersHeartbeat),
        Operation::change::<HoldBody, Peer>(Verb::PeersCordon, "peer"),
        Operation::change::<HoldBody, Peer>(Verb::PeersUncordon, "peer"),
        Operation::change::<HoldBody, Peer>(Verb::PeersDrain, "peer"),
        Operation::change::<LabelBody, Peer>(Verb::PeersLabel, "peer"),
        Operation::read::<VersionsReply>(Verb::VersionsList),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct ListQuery {
    role: String,
    service: String,
    cluster: String,
    status: Option<String>,
    filter: String,
    sort: String,
    fields: String,
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply<P> {
    peers: Vec<P>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

#[derive(Deserialize, JsonSchema)]
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

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RegisterReply {
    peer: Peer,
    heartbeat_interval_ms: u32,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct HeartbeatBody {
    leaving: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HeartbeatReply {
    heartbeat_interval_ms: u32,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LabelBody {
    labels: LabelPatch,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HoldBody {}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct VersionsReply {
    versions: Vec<VersionCount>,
    server_version: &'static str,
    revision: u64,
}

async fn list(State(registry): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, asked) = registry.gate.rest_read::<ListQuery>(Verb::PeersList, request, "peer").await?;
    let status = asked.status.unwrap_or_default();
    if !status.is_empty() {
        valid(status.parse::<PeerStatus>())?;
    }
    let mut listing = Listing::parse::<Peer>(&asked.filter, &asked.sort, asked.limit, asked.cursor)?;
    listing.filter = (listing.filter)
        .and_equal("role", &asked.role)
        .and_equal("service", &asked.service)
        .and_equal("cluster", &asked.cluster)
        .and_equal("status", &status);
    let fields = Sparse::parse(&asked.fields, FIELDS)?;
    // Taken before the page is read: a page that is newer than its ETag is only read once more.
    let etag = registry.etag();
    if let Some(reply) = Reply::not_modified(&parts.headers, &etag) {
        return Ok(reply);
    }
    let page = registry.list(&listing)?;
    let (next_cursor, revision) = (page.next_cursor, page.revision);
    let reply = if asked.fields.is_empty() {
        Reply::json(&ListReply { peers: page.peers, next_cursor, revision })
    } else {
        let peers = page.peers.iter().map(|peer| fields.json(peer)).collect::<Result<Vec<_>, _>>()?;
        Reply::json(&ListReply { peers, next_cursor, revision })
    };
    Ok(reply?.tagged(etag))
}

async fn read(State(registry): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let name = format!("peer/{id}");
    let (parts, NoQuery {}) = registry.gate.rest_read(Verb::PeersGet, request, &name).await?;
    let peer = registry.get(&id)?;
    let etag = etag_of_record(peer.record_version);
    // How far a drain has come moves without a new version.
    if peer.hold.as_ref().is_some_and(|hold| hold.progress.is_some()) {
        return Ok(Reply::json(&peer)?.tagged(etag));
    }
    Ok(Reply::json_unless_held(&parts.headers, etag, &peer)?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    role: String,
    service: String,
    cluster: String,
    status: String,
    after: u64,
    resume: String,
}

async fn watch(State(registry): Shared, request: Request) -> Result<Response, Problem> {
    let (parts, asked) = registry.gate.rest_read::<WatchQuery>(Verb::PeersWatch, request, "peer").await?;
    if !asked.status.is_empty() {
        valid(asked.status.parse::<PeerStatus>())?;
    }
    let filter = watched([
        ("role", &asked.role),
        ("service", &asked.service),
        ("cluster", &asked.cluster),
        ("status", &asked.status),
    ]);
    let token = resume_token(&parts.headers, &asked.resume)?;
    let watch = registry.gate.watch(filter, asked.after, token)?;
    Ok(registry.gate.sse(watch, Peer::seen))
}

/// The peers whose fields have these values; an empty one means any.
pub(crate) fn watched(fields: [(&str, &str); 4]) -> WatchFilter {
    let said = fields.into_iter().filter(|(_, value)| !value.is_empty());
    said.fold(WatchFilter::of([Kind::Peer]), |filter, (name, value)| filter.field(name, value))
}

async fn versions(State(registry): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, NoQuery {}) = registry.gate.rest_read(Verb::VersionsList, request, "peer").await?;
    let (versions, revision) = count(&registry.view);
    Ok(Reply::json(&VersionsReply { versions, server_version: env!("CARGO_PKG_VERSION"), revision })?)
}

async fn register(State(registry): Shared, request: Request) -> Result<Reply, Problem> {
    let (caller, body) =
        registry.gate.rest_report::<Option<RegisterBody>>(Verb::PeersRegister, request, "peer").await?;
    let body = body.ok_or_else(|| invalid(&Invalid::new("id", "is missing: the body is empty")))?;
    let spec = PeerSpec {
        id: valid(PeerId::new(body.id))?,
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

async fn label(State(registry): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let name = format!("peer/{id}");
    let (caller, ask, body) =
        registry.gate.rest_change::<LabelBody>(Verb::PeersLabel, request, &name).await?;
    Ok(reply(&registry.label(&caller, &ask, &id, &body.labels).await?)?)
}

/// Verbs follow the id after a colon: `POST /meshkit/peers/greeter-1:heartbeat`.
async fn verb(State(registry): Shared, Path(path): Path<String>, request: Request) -> Result<Reply, Problem> {
    let (id, verb) = path.split_once(':').unwrap_or((&path, ""));
    let (gate, name) = (&registry.gate, format!("peer/{id}"));
    let (verb, hold) = match verb {
        "heartbeat" => {
            let (caller, body) =
                gate.rest_report::<HeartbeatBody>(Verb::PeersHeartbeat, request, &name).await?;
            registry.heartbeat(&caller, id, body.leaving).await?;
            let reply = HeartbeatReply { heartbeat_interval_ms: registry.heartbeat_interval_ms() };
            return Ok(Reply::json(&reply)?);
        }
        "cordon" => (Verb::PeersCordon, HoldVerb::Cordon),
        "uncordon" => (Verb::PeersUncordon, HoldVerb::Uncordon),
        "drain" => (Verb::PeersDrain, HoldVerb::Drain),
        _ => {
            let (parts, _) = request.into_parts();
            gate.admit(Verb::PeersGet, &parts.extensions, &parts.headers, &name).await?;
            let status = Status::not_found(format!("nothing is posted to {}", parts.uri.path())).with_hint(
                "post to /meshkit/peers/{id}:heartbeat, :cordon, :uncordon or :drain, or to /meshkit/peers to register",
            );
            return Err(status.into());
        }
    };
    let (caller, ask, HoldBody {}) = gate.rest_change(verb, request, &name).await?;
    Ok(reply(&registry.hold(&caller, &ask, id, hold).await?)?)
}

fn reply(changed: &Changed<Peer>) -> Result<Reply, Status> {
    let etag = etag_of_record(changed.record.record_version);
    Ok(change_reply("peer", &changed.record, &changed.outcome)?.tagged(etag))
}
