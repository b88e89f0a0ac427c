//! The audit over REST.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt as _;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use meshkit_api::{NoQuery, Operation, Problem, Reply, Verb, invalid, valid};
use meshkit_model::{Invalid, Kind, Timestamp};
use meshkit_store::audit::{AuditEntry, AuditQuery};
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entries::{Audit, Verdict};

type Shared = State<Arc<Audit>>;

const RECORD: &str = "audit";

pub(crate) fn routes(audit: Arc<Audit>) -> Router {
    Router::new()
        .route("/meshkit/audit", get(list))
        .route("/meshkit/audit:export", get(export))
        .route("/meshkit/audit:verify", get(verify))
        .with_state(audit)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<AuditEntry>(Verb::AuditList, "entries", "").query::<ListQuery>(),
        Operation::lines::<AuditEntry>(Verb::AuditExport).query::<ExportQuery>(),
        Operation::read::<Verdict>(Verb::AuditVerify),
    ]
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ListQuery {
    actor: String,
    action: String,
    ticket: String,
    record: String,
    kind: String,
    outcome: String,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    limit: u32,
    cursor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    entries: Vec<AuditEntry>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ExportQuery {
    after: u64,
}

async fn list(State(audit): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = audit.gate.rest_read::<ListQuery>(Verb::AuditList, request, RECORD).await?;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let refused = match asked.outcome.as_str() {
        "" => None,
        "done" => Some(false),
        "refused" => Some(true),
        other => {
            let problem = format!("is {other:?}; it is one of done, refused");
            return Err(invalid(&Invalid::new("outcome", problem)).into());
        }
    };
    let query = AuditQuery {
        actor: some(asked.actor),
        action: some(asked.action),
        ticket: some(asked.ticket),
        record: some(asked.record),
        kind: valid(some(asked.kind).map(|kind| kind.parse::<Kind>()).transpose())?,
        refused,
        from: asked.from,
        until: asked.until,
        ..AuditQuery::default()
    };
    let found = audit.search(query, asked.limit, &asked.cursor).await?;
    Ok(Reply::json(&ListReply { entries: found.entries, next_cursor: found.next_cursor })?)
}

/// JSON lines. Where reading fails half-way the body is cut short, never ended as if it were whole.
async fn export(State(audit): Shared, request: Request) -> Result<Response, Problem> {
    let (_, asked) = audit.gate.rest_read::<ExportQuery>(Verb::AuditExport, request, RECORD).await?;
    let lines = audit.all(asked.after).map(|entry| {
        let mut line = serde_json::to_vec(&entry?).map_err(|error| Status::internal(error.to_string()))?;
        line.push(b'\n');
        Ok::<_, Status>(Bytes::from(line))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

async fn verify(State(audit): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, NoQuery {}) = audit.gate.rest_read(Verb::AuditVerify, request, RECORD).await?;
    Ok(Reply::json(&audit.verify().await?)?)
}
