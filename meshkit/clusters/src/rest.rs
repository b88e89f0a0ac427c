//! Clusters over REST.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use meshkit_api::{
    Changed, ListQuery, NoQuery, Operation, Problem, Reply, Sparse, Verb, change_reply, etag_of_revision,
    invalid, resume_token, strong_etag,
};
use meshkit_model::{Cluster, ClusterRequest, ClusterSpec, ClusterState, Invalid, Kind};
use meshkit_store::Filter as WatchFilter;
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clusters::Clusters;

type Shared = State<Arc<Clusters>>;

/// The top-level fields of a cluster, for `fields`.
pub(crate) const FIELDS: &[&str] =
    &["spec", "state", "stateSince", "changedAt", "changedBy", "ticket", "recordVersion"];

pub(crate) fn routes(clusters: Arc<Clusters>) -> Router {
    Router::new()
        .route("/meshkit/clusters", get(list).post(create))
        .route("/meshkit/clusters:watch", get(watch))
        .route("/meshkit/clusters/{id}", get(read).patch(update))
        .route("/meshkit/clusters/{id}", post(verb))
        .with_state(clusters)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<Cluster>(Verb::ClustersList, "clusters", "revision").listed(FIELDS).conditional(),
        Operation::read::<Cluster>(Verb::ClustersGet).conditional(),
        Operation::watch::<Cluster>(Verb::ClustersWatch).query::<WatchQuery>(),
        Operation::change::<CreateBody, Cluster>(Verb::ClustersCreate, "cluster").creates(),
        Operation::change::<UpdateBody, Cluster>(Verb::ClustersUpdate, "cluster"),
        Operation::change::<PromoteBody, Cluster>(Verb::ClustersPromote, "cluster"),
        Operation::change::<DemoteBody, Cluster>(Verb::ClustersDemote, "cluster"),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    clusters: Vec<Value>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CreateBody {
    spec: Option<ClusterSpec>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct UpdateBody {
    spec: Value,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PromoteBody {
    pass_over: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DemoteBody {
    to: Option<ClusterState>,
}

async fn list(State(clusters): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, asked) = clusters.gate.rest_read::<ListQuery>(Verb::ClustersList, request, "cluster").await?;
    let fields = Sparse::parse(&asked.fields, FIELDS)?;
    let listing = asked.listing::<Cluster>()?;
    // Taken before the page is read: a page that is newer than its ETag is only read once more.
    let etag = etag_of_revision(clusters.view.identity(), clusters.view.settled());
    if let Some(reply) = Reply::not_modified(&parts.headers, &etag) {
        return Ok(reply);
    }
    let (page, revision) = clusters.list(&listing)?;
    let records = page.records.iter().map(|cluster| fields.json(cluster));
    let reply =
        ListReply { clusters: records.collect::<Result<_, _>>()?, next_cursor: page.next_cursor, revision };
    Ok(Reply::json(&reply)?.tagged(etag))
}

async fn read(State(clusters): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let name = format!("cluster/{id}");
    let (parts, NoQuery {}) = clusters.gate.rest_read(Verb::ClustersGet, request, &name).await?;
    let cluster = clusters.get(&id)?;
    Ok(Reply::json_unless_held(&parts.headers, strong_etag(cluster.record_version), &cluster)?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    state: Option<ClusterState>,
    after: u64,
    resume: String,
}

async fn watch(State(clusters): Shared, request: Request) -> Result<Response, Problem> {
    let (parts, asked) =
        clusters.gate.rest_read::<WatchQuery>(Verb::ClustersWatch, request, "cluster").await?;
    let token = resume_token(&parts.headers, &asked.resume)?;
    let watch = clusters.gate.watch(watched(asked.state), asked.after, token)?;
    Ok(clusters.gate.sse(watch, |cluster: Cluster| cluster))
}

/// The clusters in a state, or in any.
pub(crate) fn watched(state: Option<ClusterState>) -> WatchFilter {
    let filter = WatchFilter::of([Kind::Cluster]);
    match state {
        Some(state) => filter.field("state", state.as_str()),
        None => filter,
    }
}

async fn create(State(clusters): Shared, request: Request) -> Result<Reply, Problem> {
    let (caller, ask, body) =
        clusters.gate.rest_change::<CreateBody>(Verb::ClustersCreate, request, "cluster").await?;
    let spec = body.spec.ok_or_else(|| invalid(&Invalid::new("spec", "is missing")))?;
    let path = format!("/meshkit/clusters/{}", spec.id);
    let changed = clusters.create(&caller, &ask.for_new(), spec).await?;
    let is_dry = changed.outcome.dry_run;
    let reply = reply(&changed)?;
    Ok(if is_dry { reply } else { reply.created(path) })
}

async fn update(State(clusters): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let name = format!("cluster/{id}");
    let (caller, ask, body) =
        clusters.gate.rest_change::<UpdateBody>(Verb::ClustersUpdate, request, &name).await?;
    Ok(reply(&clusters.update(&caller, &ask, &id, &body.spec).await?)?)
}

/// Verbs follow the id after a colon: `POST /meshkit/clusters/eu-1:promote`.
async fn verb(State(clusters): Shared, Path(path): Path<String>, request: Request) -> Result<Reply, Problem> {
    let (id, verb) = path.split_once(':').unwrap_or((&path, ""));
    let (gate, name) = (&clusters.gate, format!("cluster/{id}"));
    let (caller, ask, asked) = match verb {
        "promote" => {
            let (caller, ask, body) =
                gate.rest_change::<PromoteBody>(Verb::ClustersPromote, request, &name).await?;
            (caller, ask, ClusterRequest::Promote { pass_over: body.pass_over })
        }
        "demote" => {
            let (caller, ask, body) =
                gate.rest_change::<DemoteBody>(Verb::ClustersDemote, request, &name).await?;
            (caller, ask, ClusterRequest::Demote { to: body.to })
        }
        _ => {
            let (parts, _) = request.into_parts();
            gate.admit(Verb::ClustersGet, &parts.extensions, &parts.headers, &name).await?;
            let status = Status::not_found(format!("nothing is posted to {}", parts.uri.path())).with_hint(
                "post to /meshkit/clusters/{id}:promote or :demote, or to /meshkit/clusters to add one",
            );
            return Err(status.into());
        }
    };
    Ok(reply(&clusters.request(&caller, &ask, id, asked).await?)?)
}

fn reply(changed: &Changed<Cluster>) -> Result<Reply, Status> {
    let etag = strong_etag(changed.record.record_version);
    Ok(change_reply("cluster", &changed.record, &changed.outcome)?.tagged(etag))
}
