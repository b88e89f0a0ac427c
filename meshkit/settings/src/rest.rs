//! The configuration over REST.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use meshkit_api::{
    Changed, NoQuery, Operation, Problem, Reply, Verb, change_reply, invalid, resume_token, strong_etag,
};
use meshkit_model::{ConfigDocument, Invalid, Kind};
use meshkit_store::Filter as WatchFilter;
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Settings;

type Shared = State<Arc<Settings>>;

const RECORD: &str = "config/mesh";

pub(crate) fn routes(settings: Arc<Settings>) -> Router {
    Router::new()
        .route("/meshkit/config", get(read).patch(patch))
        .route("/meshkit/config:watch", get(watch))
        .route("/meshkit/config/history", get(history))
        .route("/meshkit/config/history/{number}", get(version))
        .route("/meshkit/config:rollback", post(roll_back))
        .with_state(settings)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::read::<ConfigDocument>(Verb::ConfigGet).conditional(),
        Operation::read::<ConfigDocument>(Verb::ConfigGet).at("/meshkit/config/history/{number}"),
        Operation::read::<HistoryReply>(Verb::ConfigHistory).query::<HistoryQuery>(),
        Operation::watch::<ConfigDocument>(Verb::ConfigWatch).query::<WatchQuery>(),
        Operation::change::<PatchBody, ConfigDocument>(Verb::ConfigPatch, "config"),
        Operation::change::<RollbackBody, ConfigDocument>(Verb::ConfigRollback, "config"),
    ]
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HistoryQuery {
    limit: u32,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigHistory")]
struct HistoryReply {
    versions: Vec<ConfigDocument>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PatchBody {
    content: Value,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RollbackBody {
    to_number: Option<u64>,
}

async fn read(State(settings): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, NoQuery {}) = settings.gate.rest_read(Verb::ConfigGet, request, RECORD).await?;
    let document = settings.present();
    Ok(Reply::json_unless_held(&parts.headers, strong_etag(document.record_version), &document)?)
}

async fn version(
    State(settings): Shared,
    Path(number): Path<String>,
    request: Request,
) -> Result<Reply, Problem> {
    let (_, NoQuery {}) = settings.gate.rest_read(Verb::ConfigGet, request, RECORD).await?;
    let number = number
        .parse()
        .map_err(|_| invalid(&Invalid::new("number", format!("is {number:?}; versions are numbers"))))?;
    Ok(Reply::json(&settings.version(number)?)?)
}

async fn history(State(settings): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = settings.gate.rest_read::<HistoryQuery>(Verb::ConfigHistory, request, RECORD).await?;
    Ok(Reply::json(&HistoryReply { versions: settings.history(limit(asked.limit)?) })?)
}

/// How many versions are asked for; 0 means all that are kept.
pub(crate) fn limit(asked: u32) -> Result<usize, Status> {
    match u64::from(asked) {
        0 => Ok(usize::MAX),
        1..=ConfigDocument::KEPT => Ok(usize::try_from(asked).unwrap_or(usize::MAX)),
        _ => {
            let problem = format!("is {asked}; it is 1 to {}", ConfigDocument::KEPT);
            Err(invalid(&Invalid::new("limit", problem)))
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    after: u64,
    resume: String,
}

async fn watch(State(settings): Shared, request: Request) -> Result<Response, Problem> {
    let (parts, asked) = settings.gate.rest_read::<WatchQuery>(Verb::ConfigWatch, request, RECORD).await?;
    let token = resume_token(&parts.headers, &asked.resume)?;
    let watch = settings.gate.watch(watched(), asked.after, token)?;
    Ok(settings.gate.sse(watch, |document: ConfigDocument| document))
}

/// The present document, without the accounts of past ones.
pub(crate) fn watched() -> WatchFilter {
    WatchFilter::of([Kind::Config]).field("archived", "false")
}

async fn patch(State(settings): Shared, request: Request) -> Result<Reply, Problem> {
    let (caller, ask, body) =
        settings.gate.rest_change::<PatchBody>(Verb::ConfigPatch, request, RECORD).await?;
    Ok(reply(&settings.patch(&caller, &ask, &body.content).await?)?)
}

async fn roll_back(State(settings): Shared, request: Request) -> Result<Reply, Problem> {
    let (caller, ask, body) =
        settings.gate.rest_change::<RollbackBody>(Verb::ConfigRollback, request, RECORD).await?;
    let number = body.to_number.ok_or_else(|| invalid(&Invalid::new("toNumber", "is missing")))?;
    Ok(reply(&settings.roll_back(&caller, &ask, number).await?)?)
}

fn reply(changed: &Changed<ConfigDocument>) -> Result<Reply, Status> {
    let etag = strong_etag(changed.record.record_version);
    Ok(change_reply("config", &changed.record, &changed.outcome)?.tagged(etag))
}
