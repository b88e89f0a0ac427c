//! What was counted and told, over HTTP. Who may read it is the caller's to check.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, Uri};
use jiff::Timestamp;
use omnirelay_runtime::Drain;
use relay_core::Status;
pub use relay_core::observe::{DOWNGRADE_EVENTS, TRANSPORT_STATS};
use relay_transport::{Body, body};
use serde::Serialize;

use crate::checkpoints::Checkpoints;
use crate::events::KEPT;
use crate::sse;

/// Answers a GET of [`TRANSPORT_STATS`] or [`DOWNGRADE_EVENTS`]; `None` for any other path.
///
/// `?limit=` (1 to 1024) bounds the events. With `Accept: text/event-stream` they are followed
/// until the drain begins; `Last-Event-ID` says where to go on.
pub fn answer(
    checkpoints: &Checkpoints,
    uri: &Uri,
    headers: &HeaderMap,
    drain: &Drain,
) -> Option<Result<Response<Body>, Status>> {
    match uri.path() {
        TRANSPORT_STATS => Some(limit(uri).and_then(|_| json(&checkpoints.stats(Timestamp::now())))),
        DOWNGRADE_EVENTS => Some(limit(uri).and_then(|limit| events(checkpoints, limit, headers, drain))),
        _ => None,
    }
}

fn events(
    checkpoints: &Checkpoints,
    limit: usize,
    headers: &HeaderMap,
    drain: &Drain,
) -> Result<Response<Body>, Status> {
    let history = &checkpoints.events;
    let wants_stream = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/event-stream"));
    if !wants_stream {
        let events = history.latest(limit);
        return json(&Latest {
            node: checkpoints.node(),
            events: events.iter().map(AsRef::as_ref).collect(),
        });
    }
    let start = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        Some(id) => history.start_after(id),
        None => history.start_of_latest(limit),
    };
    sse::stream(Arc::clone(history), start, drain.clone())
}

/// [`relay_core::observe::DowngradeEvents`], borrowed.
#[derive(Serialize)]
struct Latest<'a> {
    node: &'a str,
    events: Vec<&'a relay_core::observe::DowngradeEvent>,
}

/// The one parameter there is.
fn limit(uri: &Uri) -> Result<usize, Status> {
    let mut limit = KEPT;
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let number = pair.strip_prefix("limit=").and_then(|number| number.parse().ok());
        limit = number.filter(|number| (1..=KEPT).contains(number)).ok_or_else(|| {
            Status::invalid_argument("the query is off")
                .with_hint(format!("`limit` is 1 to {KEPT}, and there is nothing else"))
        })?;
    }
    Ok(limit)
}

fn json(value: &impl Serialize) -> Result<Response<Body>, Status> {
    let document = serde_json::to_vec(value).map_err(|error| Status::internal(error.to_string()))?;
    let mut response = Response::new(body::full(document));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
