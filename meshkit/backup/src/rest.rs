//! Copies over REST: the answer's body is the copy, its head says what it is.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use meshkit_api::{NoQuery, Operation, Problem, Verb, query};
use relay_core::Status;

use crate::copies::Copies;

/// A file of SQLite (IANA media types).
const KIND: &str = "application/vnd.sqlite3";
/// What the body sums up to (RFC 9530).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// The revision that the copy holds.
const REVISION: HeaderName = HeaderName::from_static("mesh-revision");

pub(crate) fn routes(copies: Arc<Copies>) -> Router {
    Router::new().route("/meshkit/backup", get(take)).with_state(copies)
}

/// What the route gives.
pub(crate) fn operations() -> Vec<Operation> {
    let headers = &[
        ("Repr-Digest", "What the body sums up to (RFC 9530)"),
        ("Mesh-Revision", "The revision that the copy holds"),
    ];
    vec![Operation::bytes(Verb::BackupTake, KIND, headers)]
}

/// Where reading fails half-way the body is cut short, never ended as if it were whole.
async fn take(State(copies): State<Arc<Copies>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let NoQuery {} = query(&parts.uri)?;
    let copy = copies.take(&parts.extensions, &parts.headers).await?;
    let digest = format!("sha-256=:{}:", STANDARD.encode(copy.sha256));
    let name = format!("attachment; filename=\"mesh-{}.db\"", copy.revision);
    let (revision, bytes) = (copy.revision, copy.bytes);
    let mut response = Response::new(Body::from_stream(copy.chunks()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(CONTENT_LENGTH, bytes.into());
    headers.insert(REVISION, revision.into());
    for (header, text) in [(REPR_DIGEST, digest), (CONTENT_DISPOSITION, name)] {
        let value = HeaderValue::try_from(text).map_err(|error| Status::internal(error.to_string()))?;
        headers.insert(header, value);
    }
    Ok(response)
}
