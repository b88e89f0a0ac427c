//! Leaders over REST.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt as _;
use meshkit_api::{
    ListQuery, NoQuery, Operation, Problem, Reply, Sparse, Verb, change_reply, etag_of_revision, invalid,
    resume_token, strong_etag,
};
use meshkit_model::{LeaderScope, Lease};
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::feed::{Item, What};
use crate::leaders::{Leaders, Shown};

type Shared = State<Arc<Leaders>>;

/// The top-level fields of a lease, for `fields`.
const FIELDS: &[&str] = &[
    "scope",
    "state",
    "holder",
    "session",
    "fence",
    "leaseMs",
    "resigning",
    "change",
    "previous",
    "since",
    "changedAt",
    "recordVersion",
];

pub(crate) fn routes(leaders: Arc<Leaders>) -> Router {
    Router::new()
        .route("/meshkit/leaders", get(list))
        .route("/meshkit/leaders:watch", get(watch))
        .route("/meshkit/leaders/{*scope}", get(read).post(verb))
        .with_state(leaders)
}

const EVENTS: &str = "`snapshot` with `{lease, revision}` for each lease there is, then one for each change, called as \
                      `change` of the lease, with `{scope, holder, fence, revision, lease}`, `bookmark` with `{revision}` and \
                      `resync-required` with `{reason}`; the `id` of each is where a later call goes on";

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<Shown>(Verb::LeadersList, "leases", "revision").listed(FIELDS),
        Operation::read::<Shown>(Verb::LeadersGet),
        Operation::events::<Shown>(Verb::LeadersWatch, EVENTS).query::<WatchQuery>(),
        Operation::change::<ResignBody, Shown>(Verb::LeadersResign, "lease"),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    leases: Vec<Value>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    scope: String,
    resume: String,
}

/// Nothing but `reason` and `ticket`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResignBody {}

async fn list(State(leaders): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = leaders.gate.rest_read::<ListQuery>(Verb::LeadersList, request, "lease").await?;
    let fields = Sparse::parse(&asked.fields, FIELDS)?;
    let listing = asked.listing::<Lease>()?;
    let (page, revision) = leaders.list(&listing)?;
    let leases = page.records.iter().map(|shown| fields.json(shown)).collect::<Result<_, _>>()?;
    let reply = ListReply { leases, next_cursor: page.next_cursor, revision };
    Ok(Reply::json(&reply)?.tagged(etag_of_revision(leaders.view.identity(), revision)))
}

async fn read(State(leaders): Shared, Path(scope): Path<String>, request: Request) -> Result<Reply, Problem> {
    let name = format!("lease/{scope}");
    let (_, NoQuery {}) = leaders.gate.rest_read(Verb::LeadersGet, request, &name).await?;
    // Time changes its state without a new version, so it is not conditional.
    let shown = leaders.get(&scope)?;
    Ok(Reply::json(&shown)?.tagged(strong_etag(shown.lease.record_version)))
}

/// The scope that a watch is about; none for an empty text, which means all.
pub(crate) fn scope_of(text: &str) -> Result<Option<LeaderScope>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error| invalid(&error)),
    }
}

async fn watch(State(leaders): Shared, request: Request) -> Result<Response, Problem> {
    let (parts, asked) = leaders.gate.rest_read::<WatchQuery>(Verb::LeadersWatch, request, "lease").await?;
    let token = resume_token(&parts.headers, &asked.resume)?;
    let feed = leaders.follow(scope_of(&asked.scope)?, token)?;
    // A store that cannot be read now ends the stream; the client comes back with its token.
    let frames = feed.stream(Arc::clone(&leaders), frame);
    let frames = frames.take_while(|frame| std::future::ready(frame.is_ok()));
    Ok(leaders.gate.sse_of(frames.filter_map(async |frame| frame.ok()).boxed()))
}

fn frame(item: Item) -> Bytes {
    let revision = item.revision;
    let (name, data) = match item.what {
        What::Snapshot(shown) => ("snapshot", json!({ "lease": shown, "revision": revision })),
        What::Change(change) => {
            let mut data = json!({
                "scope": change.scope,
                "holder": change.holder,
                "fence": change.fence,
                "revision": revision,
            });
            if let (Some(lease), Value::Object(fields)) = (change.lease, &mut data) {
                fields.insert("lease".to_owned(), json!(lease));
            }
            (change.change.as_str(), data)
        }
        What::Bookmark => ("bookmark", json!({ "revision": revision })),
        What::ResyncRequired(why) => ("resync-required", json!({ "reason": why })),
    };
    let id = if item.token.is_empty() { String::new() } else { format!("id: {}\n", item.token) };
    format!("{id}event: {name}\ndata: {data}\n\n").into()
}

/// Verbs follow the scope after a colon: `POST /meshkit/leaders/module/shards:resign`.
async fn verb(State(leaders): Shared, Path(path): Path<String>, request: Request) -> Result<Reply, Problem> {
    let (scope, verb) = path.rsplit_once(':').unwrap_or((&path, ""));
    let name = format!("lease/{scope}");
    if verb != "resign" {
        let (parts, _) = request.into_parts();
        leaders.gate.admit(Verb::LeadersGet, &parts.extensions, &parts.headers, &name).await?;
        let status = Status::not_found(format!("nothing is posted to {}", parts.uri.path()))
            .with_hint("post to /meshkit/leaders/{scope}:resign");
        return Err(status.into());
    }
    let (caller, ask, ResignBody {}) = leaders.gate.rest_change(Verb::LeadersResign, request, &name).await?;
    let changed = leaders.resign(&caller, &ask, scope).await?;
    let etag = strong_etag(changed.record.lease.record_version);
    Ok(change_reply("lease", &changed.record, &changed.outcome)?.tagged(etag))
}
