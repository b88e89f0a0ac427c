//! Compression of answers on their way out, where whoever asks takes it and it is worth it.
//!
//! Source: RFC 9110, sections 8.4 (`Content-Encoding`), 8.8.3 (`ETag`), 12.5.3 (`Accept-Encoding`) and 12.5.5
//! (`Vary`); RFC 9111, section 5.2.2.6 (`no-transform`).

mod gzip;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use relay_core::RpcStyle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::{self, Body};
use gzip::Gzip;

/// Which answers are compressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompressionConfig {
    /// Bytes from which on it is worth it; an answer that does not say its length is taken to be large.
    pub min_bytes: u64,
    /// 1 (fast) to 9 (small).
    pub level: u32,
    /// Media types; a last `*` stands for anything.
    pub content_types: Vec<String>,
    /// Answers that are compressed at once, 1 to 10000: each takes about 300 KiB. The others go out as they are.
    pub max_in_flight: u32,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        let types = [
            "application/json",
            "application/openmetrics-text",
            "application/problem+json",
            "application/x-protobuf",
            "text/css",
            "text/html",
            "text/plain",
        ];
        Self { min_bytes: 1024, level: 4, content_types: types.map(str::to_owned).into(), max_in_flight: 256 }
    }
}

impl CompressionConfig {
    /// What is wrong with it, and what to write instead.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        if !(1..=9).contains(&self.level) || !(1..=10_000).contains(&self.max_in_flight) {
            return Some((
                "is out of bounds",
                "choose 1 to 9 for `level`, and 1 to 10000 for `max_in_flight`",
            ));
        }
        let is_type =
            |name: &String| name.contains('/') && name.is_ascii() && !name.starts_with("application/grpc");
        if self.content_types.is_empty() || !self.content_types.iter().all(is_type) {
            return Some((
                "has a `content_types` that is none",
                "write media types as `text/html` or `text/*`; gRPC has its own",
            ));
        }
        None
    }

    fn takes(&self, kind: &str) -> bool {
        self.content_types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => {
                kind.get(..beginning.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(beginning))
            }
            None => wanted.eq_ignore_ascii_case(kind),
        })
    }
}

/// Compresses answers by a configuration.
#[derive(Debug)]
pub(crate) struct Compression {
    pub(crate) config: CompressionConfig,
    in_flight: Arc<AtomicU32>,
}

/// A place among the answers that are compressed at once.
#[derive(Debug)]
struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Whether the answer to a request may be compressed, and whether whoever asks wants that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    may: bool,
    gzip: bool,
}

impl Wish {
    pub(crate) fn of(style: RpcStyle, head: &Parts) -> Self {
        let may = style != RpcStyle::Grpc
            && !matches!(head.method, Method::HEAD | Method::CONNECT)
            && !forbids_change(&head.headers);
        Self { may, gzip: may && wants_gzip(&head.headers) }
    }
}

impl Compression {
    pub(crate) fn new(config: CompressionConfig) -> Self {
        Self { config, in_flight: Arc::default() }
    }

    /// The answer, compressed where that is wanted and worth it; whether it is.
    pub(crate) fn answer(&self, wish: Wish, mut response: Response<Body>) -> (Response<Body>, bool) {
        if !wish.may || !self.is_worth_it(&response) {
            return (response, false);
        }
        // Caches have to know that others may be given other bytes.
        if !names(response.headers(), VARY, "accept-encoding") {
            response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if !wish.gzip {
            return (response, false);
        }
        let place = Place(Arc::clone(&self.in_flight));
        if self.in_flight.fetch_add(1, Relaxed) >= self.config.max_in_flight {
            return (response, false);
        }
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        weaken(headers);
        let level = self.config.level;
        (response.map(|body| body::boxed(Gzip::new(body, level, place))), true)
    }

    fn is_worth_it(&self, response: &Response<Body>) -> bool {
        let headers = response.headers();
        let has_body = !matches!(
            response.status(),
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        ) && !response.status().is_informational();
        // Ranges and digests are of the bytes as they are.
        let of_bytes = [CONTENT_ENCODING, CONTENT_RANGE, CONTENT_DIGEST, CONTENT_MD5]
            .iter()
            .any(|name| headers.contains_key(name));
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_grpc = kind.starts_with("application/grpc");
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let length = length.or_else(|| response.body().size_hint().exact());
        has_body
            && !of_bytes
            && !is_grpc
            && self.config.takes(kind)
            && length.is_none_or(|length| length >= self.config.min_bytes)
            && !forbids_change(headers)
    }
}

/// RFC 9530.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

fn forbids_change(headers: &HeaderMap) -> bool {
    names(headers, CACHE_CONTROL, "no-transform")
}

/// Whether one of a header's words, between commas, is this one.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// An answer with other bytes is equal in meaning alone.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG).map(HeaderValue::as_bytes).filter(|tag| !tag.starts_with(b"W/")) else {
        return;
    };
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag].concat()) {
        headers.insert(ETAG, weak);
    }
}

/// Whether gzip is taken, and no less than what is not compressed.
fn wants_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    for one in values.flat_map(|value| value.split(',')) {
        let mut parts = one.split(';').map(str::trim);
        let weight = match parts.next().unwrap_or_default() {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                &mut gzip
            }
            coding if coding.eq_ignore_ascii_case("identity") => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // What cannot be read is not wanted.
        *weight = Some(quality.map_or(1.0, |quality| quality.parse::<f32>().unwrap_or(0.0)));
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
