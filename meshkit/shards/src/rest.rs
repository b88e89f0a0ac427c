//! Shards over REST.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::get;
use meshkit_api::{Problem, Reply, Verb, etag_of_record, invalid};
use meshkit_model::{Shard, ShardStatus};
use serde::{Deserialize, Serialize};

use crate::shards::{Listing, Shards};

type Shared = State<Arc<Shards>>;

pub(crate) fn routes(shards: Arc<Shards>) -> Router {
    Router::new()
        .route("/meshkit/shards", get(list))
        .route("/meshkit/shards/lookup", get(lookup))
        .with_state(shards)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    namespace: String,
    owner: String,
    status: Option<String>,
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    shards: Vec<Shard>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupQuery {
    namespace: String,
    key: String,
}

async fn list(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, asked) = shards.gate.rest_read::<ListQuery>(Verb::ShardsList, request, "shard").await?;
    let status = asked.status.filter(|status| !status.is_empty());
    let status = status.map(|status| status.parse::<ShardStatus>()).transpose();
    let listing = Listing {
        namespace: asked.namespace,
        owner: asked.owner,
        status: status.map_err(|error| invalid(&error))?,
        limit: asked.limit,
        cursor: asked.cursor,
    };
    if let Some(reply) = Reply::not_modified(&parts.headers, &shards.etag()) {
        return Ok(reply);
    }
    let page = shards.list(listing)?;
    let etag = shards.etag_at(page.revision);
    let reply = ListReply { shards: page.shards, next_cursor: page.next_cursor, revision: page.revision };
    Ok(Reply::json(&reply)?.tagged(etag))
}

async fn lookup(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, asked) = shards.gate.rest_read::<LookupQuery>(Verb::ShardsLookup, request, "shard").await?;
    let shard = shards.lookup(&asked.namespace, asked.key.as_bytes())?;
    Ok(Reply::json_unless_held(&parts.headers, etag_of_record(shard.record_version), &shard)?)
}
