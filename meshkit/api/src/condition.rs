//! Answers of REST handlers, and reads on the condition that something changed.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use meshkit_store::Identity;
use relay_core::Status;
use serde::Serialize;

use crate::carry::Outcome;
use crate::error::Problem;

/// The answer of a REST handler: JSON with an ETag, or `304 Not Modified`.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    etag: Option<String>,
    location: Option<String>,
    json: Option<Vec<u8>>,
}

impl Reply {
    /// JSON with status 200.
    ///
    /// # Errors
    /// `internal` where the value cannot be JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, Status> {
        let json = serde_json::to_vec(value)
            .map_err(|error| Status::internal(format!("the answer cannot be written: {error}")))?;
        Ok(Self { status: StatusCode::OK, etag: None, location: None, json: Some(json) })
    }

    /// JSON with its ETag, or `304 Not Modified` where the caller holds it already.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn json_unless_held(
        headers: &HeaderMap,
        etag: String,
        value: &impl Serialize,
    ) -> Result<Self, Status> {
        match Self::not_modified(headers, &etag) {
            Some(reply) => Ok(reply),
            None => Ok(Self::json(value)?.tagged(etag)),
        }
    }

    /// `304 Not Modified` where the caller holds `etag` already.
    #[must_use]
    pub fn not_modified(headers: &HeaderMap, etag: &str) -> Option<Self> {
        holds(headers, etag).then(|| Self {
            status: StatusCode::NOT_MODIFIED,
            etag: Some(etag.to_owned()),
            location: None,
            json: None,
        })
    }

    /// Adds the ETag.
    #[must_use]
    pub fn tagged(mut self, etag: String) -> Self {
        self.etag = Some(etag);
        self
    }

    /// Makes it `201 Created` at a path.
    #[must_use]
    pub fn created(mut self, path: String) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(path);
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.json.map_or_else(Body::empty, Body::from));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.status != StatusCode::NOT_MODIFIED {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // What was read under one identity is not for a cache to give to another.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        for (name, value) in [(ETAG, self.etag), (LOCATION, self.location)] {
            match value.map(|value| HeaderValue::from_str(&value)).transpose() {
                Ok(Some(value)) => {
                    headers.insert(name, value);
                }
                Ok(None) => {}
                Err(_) => return Problem(Status::internal("a header cannot be written")).into_response(),
            }
        }
        response
    }
}

/// The ETag of whatever is read from the store as a whole. It is weak: times that peers were last
/// seen at move without a new revision.
#[must_use]
pub fn etag_of_revision(identity: &Identity, revision: u64) -> String {
    let id = identity.id.get(..8).unwrap_or(&identity.id);
    format!("W/\"{id}.{}.{revision}\"", identity.incarnation)
}

/// The ETag of one record, weak for the same reason.
#[must_use]
pub fn etag_of_record(record_version: u64) -> String {
    format!("W/\"{record_version}\"")
}

/// The ETag of a record that is wholly what its version is.
#[must_use]
pub fn strong_etag(record_version: u64) -> String {
    format!("\"{record_version}\"")
}

/// The answer to a change: the record under its name, and how that went.
///
/// # Errors
/// As [`Reply::json`].
pub fn change_reply(name: &str, record: &impl Serialize, outcome: &Outcome) -> Result<Reply, Status> {
    Reply::json(&BTreeMap::from([(name, Part::Record(record)), ("outcome", Part::Outcome(outcome))]))
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a, R> {
    Record(&'a R),
    Outcome(&'a Outcome),
}

/// Whether `If-None-Match` names the tag, by weak comparison (RFC 9110, section 13.1.2).
fn holds(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let etag = opaque(etag);
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(if_none_match: &'static str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static(if_none_match));
        assert_eq!(holds(&headers, "W/\"7\""), expected, "{if_none_match}");
    }

    #[test]
    fn tags_are_compared_weakly() {
        check("W/\"7\"", true);
        check("\"7\"", true);
        check("\"6\", W/\"7\"", true);
        check("*", true);
        check("\"77\"", false);
        check("7", false);
        check("", false);
    }
}
