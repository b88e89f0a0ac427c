//! Shards over REST.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use meshkit_api::{
    NoQuery, Operation, Problem, Reply, Verb, change_reply, etag_of_record, invalid, resume_token, valid,
};
use meshkit_model::lifecycle::{LEASE, RENEWAL, Said, Word};
use meshkit_model::{Invalid, PeerId, Shard, ShardStatus, Timestamp};
use relay_core::Status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assign::Assignment;
use crate::owners::{Owned, Report, bounded};
use crate::shards::{Listing, Shards};
use crate::simulate::{Answer, Question};
use crate::snapshot::watched;
use crate::wire::{Shown, shown};

type Shared = State<Arc<Shards>>;

pub(crate) fn routes(shards: Arc<Shards>) -> Router {
    Router::new()
        .route("/meshkit/shards", get(list))
        .route("/meshkit/shards/lookup", get(lookup))
        .route("/meshkit/shards:watch", get(watch))
        .route("/meshkit/shards:diff", get(diff))
        .route("/meshkit/shards:owners", get(owners))
        .route("/meshkit/shards:simulate", get(simulate))
        .route("/meshkit/shards:report", post(report))
        .route("/meshkit/shards/{namespace}/{id}", get(read).post(verb))
        .route("/meshkit/shards/{namespace}/{id}/history", get(history))
        .with_state(shards)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<Shown>(Verb::ShardsList, "shards", "revision").query::<ListQuery>().conditional(),
        Operation::read::<Shown>(Verb::ShardsGet).conditional(),
        Operation::read::<HistoryReply>(Verb::ShardsHistory).query::<HistoryQuery>(),
        Operation::watch::<Shown>(Verb::ShardsWatch).query::<WatchQuery>(),
        Operation::read::<DiffReply>(Verb::ShardsDiff).query::<DiffQuery>(),
        Operation::read::<OwnersReply>(Verb::ShardsOwners).query::<OwnersQuery>(),
        Operation::read::<Answer>(Verb::ShardsSimulate).query::<SimulateQuery>(),
        Operation::change::<AssignBody, Shown>(Verb::ShardsAssign, "shard"),
        Operation::report::<ReportBody, ReportReply>(Verb::ShardsReport),
        Operation::read::<Shown>(Verb::ShardsLookup).query::<LookupQuery>().conditional(),
    ]
}

#[derive(Default, Deserialize, JsonSchema)]
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
    shards: Vec<Shown>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    revision: u64,
}

#[derive(Deserialize, JsonSchema)]
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
    let shards = page.shards.iter().map(|shard| shown((**shard).clone())).collect();
    let reply = ListReply { shards, next_cursor: page.next_cursor, revision: page.revision };
    Ok(Reply::json(&reply)?.tagged(etag))
}

async fn lookup(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (parts, asked) = shards.gate.rest_read::<LookupQuery>(Verb::ShardsLookup, request, "shard").await?;
    let shard = shards.lookup(&asked.namespace, asked.key.as_bytes())?;
    Ok(one(&parts.headers, &shard)?)
}

async fn read(
    State(shards): Shared,
    Path((namespace, id)): Path<(String, String)>,
    request: Request,
) -> Result<Reply, Problem> {
    let record = format!("shard/{namespace}/{id}");
    let (parts, NoQuery {}) = shards.gate.rest_read(Verb::ShardsGet, request, &record).await?;
    Ok(one(&parts.headers, &*shards.get(&namespace, number(&id)?)?)?)
}

fn one(headers: &http::HeaderMap, shard: &Shard) -> Result<Reply, Status> {
    Reply::json_unless_held(headers, etag_of_record(shard.record_version), &shown(shard.clone()))
}

fn number(id: &str) -> Result<u32, Status> {
    id.parse().map_err(|_| invalid(&Invalid::new("id", format!("is {id:?}; shards are numbered from 0"))))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WatchQuery {
    namespace: String,
    owner: String,
    after: u64,
    resume: String,
}

async fn watch(State(shards): Shared, request: Request) -> Result<Response, Problem> {
    let (parts, asked) = shards.gate.rest_read::<WatchQuery>(Verb::ShardsWatch, request, "shard").await?;
    let token = resume_token(&parts.headers, &asked.resume)?;
    let watch = shards.gate.watch(watched(&asked.namespace, &asked.owner), asked.after, token)?;
    Ok(shards.gate.sse(watch, shown))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DiffQuery {
    namespace: String,
    from: u64,
    to: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShardDiff")]
struct DiffReply {
    changes: Vec<DifferenceReply>,
    from: u64,
    to: u64,
    truncated: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShardDifference")]
struct DifferenceReply {
    namespace: String,
    id: u32,
    before: Option<Shown>,
    after: Option<Shown>,
}

async fn diff(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = shards.gate.rest_read::<DiffQuery>(Verb::ShardsDiff, request, "shard").await?;
    let diff = shards.diff(&asked.namespace, asked.from, asked.to).await?;
    let changes = diff.changes.into_iter().map(|one| DifferenceReply {
        namespace: one.namespace,
        id: one.id,
        before: one.before.map(shown),
        after: one.after.map(shown),
    });
    let (from, to, truncated) = (diff.from, diff.to, diff.truncated);
    Ok(Reply::json(&DiffReply { changes: changes.collect(), from, to, truncated })?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OwnersQuery {
    namespace: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShardOwners")]
struct OwnersReply {
    owners: Vec<Owned>,
    revision: u64,
}

async fn owners(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = shards.gate.rest_read::<OwnersQuery>(Verb::ShardsOwners, request, "shard").await?;
    let (owners, revision) = shards.owners.list(&asked.namespace);
    Ok(Reply::json(&OwnersReply { owners, revision })?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SimulateQuery {
    namespace: String,
    add: String,
    remove: String,
    reweight: String,
}

async fn simulate(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = shards.gate.rest_read::<SimulateQuery>(Verb::ShardsSimulate, request, "shard").await?;
    let removed = asked.remove.split(',').filter(|id| !id.is_empty()).map(ToOwned::to_owned);
    let question = Question {
        namespace: asked.namespace,
        add: Question::nodes("add", &asked.add)?,
        remove: removed.collect(),
        reweight: Question::nodes("reweight", &asked.reweight)?,
    };
    Ok(Reply::json(&shards.simulate(&question)?)?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HistoryQuery {
    limit: u32,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShardHistory")]
struct HistoryReply {
    entries: Vec<PastReply>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PastShard")]
struct PastReply {
    revision: u64,
    at: Timestamp,
    actor: String,
    action: String,
    reason: String,
    ticket: String,
    shard: Option<Shown>,
}

async fn history(
    State(shards): Shared,
    Path((namespace, id)): Path<(String, String)>,
    request: Request,
) -> Result<Reply, Problem> {
    let record = format!("shard/{namespace}/{id}");
    let (_, asked) = shards.gate.rest_read::<HistoryQuery>(Verb::ShardsHistory, request, &record).await?;
    let entries = shards.history(&namespace, number(&id)?, asked.limit).await?.into_iter();
    let entries = entries.map(|past| PastReply {
        revision: past.revision,
        at: past.at,
        actor: past.actor,
        action: past.action,
        reason: past.reason,
        ticket: past.ticket,
        shard: past.shard.map(shown),
    });
    Ok(Reply::json(&HistoryReply { entries: entries.collect() })?)
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AssignBody {
    peer: String,
    fence: u64,
}

/// Verbs follow the id after a colon: `POST /meshkit/shards/orders/7:assign`.
async fn verb(
    State(shards): Shared,
    Path((namespace, path)): Path<(String, String)>,
    request: Request,
) -> Result<Reply, Problem> {
    let (id, verb) = path.split_once(':').unwrap_or((&path, ""));
    let record = format!("shard/{namespace}/{id}");
    if verb != "assign" {
        let (parts, _) = request.into_parts();
        shards.gate.admit(Verb::ShardsGet, &parts.extensions, &parts.headers, &record).await?;
        let status = Status::not_found(format!("nothing is posted to {}", parts.uri.path()))
            .with_hint("post to /meshkit/shards/{namespace}/{id}:assign");
        return Err(status.into());
    }
    let (caller, ask, body) =
        shards.gate.rest_change::<AssignBody>(Verb::ShardsAssign, request, &record).await?;
    let asked = Assignment { namespace, id: number(id)?, peer: body.peer, fence: body.fence };
    let changed = shards.assign(&caller, &ask, &asked).await?;
    let etag = etag_of_record(changed.record.record_version);
    Ok(change_reply("shard", &shown(changed.record), &changed.outcome)?.tagged(etag))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ReportBody {
    peer: String,
    words: Vec<WordBody>,
    loads: Vec<LoadBody>,
    leaving: bool,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OwnerWord")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WordBody {
    namespace: String,
    id: u32,
    record_version: u64,
    fence: u64,
    kind: WordKind,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[schemars(rename = "OwnerWordKind")]
#[serde(rename_all = "lowercase")]
enum WordKind {
    Warming,
    Ready,
    Released,
    Restarted,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ShardLoad")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LoadBody {
    #[serde(rename = "namespace")]
    _namespace: String,
    #[serde(rename = "id")]
    _id: u32,
    calls_per_second: f64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnershipReply")]
#[serde(rename_all = "camelCase")]
struct ReportReply {
    lease_ms: u64,
    report_interval_ms: u64,
    accepted: Vec<u32>,
}

async fn report(State(shards): Shared, request: Request) -> Result<Reply, Problem> {
    let (caller, body) = shards.gate.rest_report::<ReportBody>(Verb::ShardsReport, request, "shard").await?;
    bounded("words", body.words.len())?;
    bounded("loads", body.loads.len())?;
    let peer = valid(PeerId::new(body.peer))?;
    let said = |word: WordBody| {
        let kind = match word.kind {
            WordKind::Warming => Word::Warming,
            WordKind::Ready => Word::Ready,
            WordKind::Released => Word::Released,
            WordKind::Restarted => Word::Restarted,
        };
        let said = Said { peer: peer.clone(), version: word.record_version, fence: word.fence, word: kind };
        (word.namespace, word.id, said)
    };
    let words = body.words.into_iter().map(said).collect();
    let load = load_of(body.loads.iter().map(|load| load.calls_per_second))?;
    let report = Report { peer: peer.clone(), words, load, leaving: body.leaving };
    let accepted = shards.owners.report(&caller, &report).await?;
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(Reply::json(&ReportReply { lease_ms: ms(LEASE), report_interval_ms: ms(RENEWAL), accepted })?)
}

/// The load of all shards of a report together; none where it tells of none.
pub(crate) fn load_of(loads: impl Iterator<Item = f64>) -> Result<Option<f64>, Status> {
    let mut sum = None;
    for load in loads {
        if !(0.0..=1e12).contains(&load) {
            let problem = format!("has {load} calls a second; it is a number from 0 to 1e12");
            return Err(invalid(&Invalid::new("loads", problem)));
        }
        sum = Some(sum.unwrap_or(0.0) + load);
    }
    Ok(sum)
}
