//! Members over REST.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt as _;
use meshkit_api::{ListQuery, NoQuery, Operation, Problem, Reply, Sparse, Verb};
use meshkit_model::Listed as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::feed::{What, follow};
use crate::members::{Members, Shown};

type Shared = State<Arc<Members>>;

pub(crate) fn routes(members: Arc<Members>) -> Router {
    Router::new()
        .route("/meshkit/members", get(list))
        .route("/meshkit/members:watch", get(watch))
        .route("/meshkit/members/{id}", get(read))
        .with_state(members)
}

/// What the routes take and give.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::page::<Shown>(Verb::MembersList, "members", "changes").listed(Shown::NAMES),
        Operation::read::<Shown>(Verb::MembersGet),
        Operation::events::<Shown>(
            Verb::MembersWatch,
            "`snapshot`, `changed` and `forgotten` with `{member}`",
        ),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListReply {
    members: Vec<Value>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_cursor: String,
    changes: u64,
}

async fn list(State(members): Shared, request: Request) -> Result<Reply, Problem> {
    let (_, asked) = members.gate.rest_read::<ListQuery>(Verb::MembersList, request, "member").await?;
    let fields: Vec<&str> = Shown::NAMES.iter().copied().chain(["isSelf"]).collect();
    let fields = Sparse::parse(&asked.fields, &fields)?;
    let (page, changes) = members.list(&asked.listing::<Shown>()?)?;
    let records = page.records.iter().map(|shown| fields.json(shown)).collect::<Result<_, _>>()?;
    Ok(Reply::json(&ListReply { members: records, next_cursor: page.next_cursor, changes })?)
}

async fn read(State(members): Shared, Path(id): Path<String>, request: Request) -> Result<Reply, Problem> {
    let name = format!("member/{id}");
    let (_, NoQuery {}) = members.gate.rest_read(Verb::MembersGet, request, &name).await?;
    Ok(Reply::json(&members.get(&id)?)?)
}

async fn watch(State(members): Shared, request: Request) -> Result<Response, Problem> {
    let (_, NoQuery {}) = members.gate.rest_read(Verb::MembersWatch, request, "member").await?;
    let frames = follow(members.membership()?, frame);
    Ok(members.gate.sse_of(frames.filter_map(async |frame| frame.ok()).boxed()))
}

fn frame(what: What, shown: &Shown) -> Bytes {
    let name = match what {
        What::Snapshot => "snapshot",
        What::Changed => "changed",
        What::Forgotten => "forgotten",
    };
    format!("event: {name}\ndata: {}\n\n", json!({ "member": shown })).into()
}
