//! Namespaces over REST.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::get;
use meshkit_api::{
    Changed, NoQuery, Operation, Problem, Reply, Verb, change_reply, etag_of_revision, invalid, strong_etag,
};
use meshkit_model::{Handover, Invalid, Namespace, Strategy};
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::namespaces::{NamespacePatch, Namespaces};

type Shared = State<Arc<Namespaces>>;

pub(crate) fn routes(namespaces: Arc<Namespaces>) -> Router {
    Router::new()
        .route("/meshkit/namespaces", get(list).post(create))
        .route("/meshkit/namespaces/{name}", get(read).patch(update).delete(delete))
        .with_state(namespaces)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<Namespace>(Verb::NamespacesList, "namespaces", "revision")
            .query::<ListQuery>()
            .conditional(),
        Operation::read::<Namespace>(Verb::NamespacesGet).conditional(),
        Operation::change::<CreateBody, Namespace>(Verb::NamespacesCreate, "namespace").creates(),
        Operation::change::<UpdateBody, Namespace>(Verb::NamespacesUpdate, "namespace"),
        Operation::change::<DeleteBody, Namespace>(Verb::NamespacesDelete, "namespace"),
    ]
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    namespaces: Vec<Namespace>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

/// A new namespace.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewNamespace {
    name: String,
    shards: u32,
    service: String,
    strategy: Option<Strategy>,
    replicas: Option<u32>,
    spread_zones: Option<bool>,
    #[serde(default)]
    zones: Vec<String>,
    handover: Option<Handover>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CreateBody {
    namespace: Option<NewNamespace>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct UpdateBody {
    namespace: NamespacePatch,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteBody {}

async fn list(State(namespaces): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, asked) =
        namespaces.gate.rest_read::<ListQuery>(Verb::NamespacesList, request, "namespace").await?;
    let etag = |revision| etag_of_revision(namespaces.view.identity(), revision);
    if let Some(reply) = Reply::not_modified(&parts.headers, &etag(namespaces.view.revision())) {
        return Ok(reply);
    }
    let page = namespaces.list(asked.limit, &asked.cursor)?;
    let etag = etag(page.revision);
    let reply =
        ListReply { namespaces: page.namespaces, next_cursor: page.next_cursor, revision: page.revision };
    Ok(Reply::json(&reply)?.tagged(etag))
}

async fn read(
    State(namespaces): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let record = format!("namespace/{name}");
    let (parts, NoQuery {}) = namespaces.gate.rest_read(Verb::NamespacesGet, request, &record).await?;
    let namespace = namespaces.get(&name)?;
    Ok(Reply::json_unless_held(&parts.headers, strong_etag(namespace.record_version), &namespace)?)
}

async fn create(State(namespaces): Shared, request: Request) -> Result<Reply, Problem> {
    let (caller, ask, body) =
        namespaces.gate.rest_change::<CreateBody>(Verb::NamespacesCreate, request, "namespace").await?;
    let new = body.namespace.ok_or_else(|| invalid(&Invalid::new("namespace", "is missing")))?;
    let plain = Namespace::new(new.name, new.shards, new.service);
    let namespace = Namespace {
        strategy: new.strategy.unwrap_or(plain.strategy),
        replicas: new.replicas.unwrap_or(plain.replicas),
        spread_zones: new.spread_zones.unwrap_or(plain.spread_zones),
        zones: new.zones,
        handover: new.handover.unwrap_or(plain.handover),
        ..plain
    };
    let path = format!("/meshkit/namespaces/{}", namespace.name);
    let changed = namespaces.create(&caller, &ask.for_new(), namespace).await?;
    let is_dry = changed.outcome.dry_run;
    let reply = reply(&changed)?;
    Ok(if is_dry { reply } else { reply.created(path) })
}

async fn update(
    State(namespaces): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let record = format!("namespace/{name}");
    let (caller, ask, body) =
        namespaces.gate.rest_change::<UpdateBody>(Verb::NamespacesUpdate, request, &record).await?;
    Ok(reply(&namespaces.update(&caller, &ask, &name, &body.namespace).await?)?)
}

async fn delete(
    State(namespaces): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let record = format!("namespace/{name}");
    let (caller, ask, DeleteBody {}) =
        namespaces.gate.rest_change(Verb::NamespacesDelete, request, &record).await?;
    Ok(reply(&namespaces.delete(&caller, &ask, &name).await?)?)
}

fn reply(changed: &Changed<Namespace>) -> Result<Reply, Status> {
    let etag = strong_etag(changed.record.record_version);
    Ok(change_reply("namespace", &changed.record, &changed.outcome)?.tagged(etag))
}
