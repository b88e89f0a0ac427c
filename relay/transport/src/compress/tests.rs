#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::io::Read as _;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, proptest};

use super::*;

fn wish(headers: &[(&str, &str)]) -> Wish {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Wish::of(RpcStyle::Http, &request.body(()).unwrap().into_parts().0)
}

fn answer(headers: &[(&str, &str)]) -> Response<Body> {
    let mut response = Response::builder();
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body::full("x".repeat(5000))).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const GZIP: (&str, &str) = ("accept-encoding", "gzip");

#[test]
fn what_is_taken_is_what_was_asked_for() {
    for (accepted, gzip) in [
        ("gzip", true),
        ("br, GZIP;q=0.5", true),
        ("*", true),
        ("x-gzip", true),
        ("deflate, *;q=0.1", true),
        ("gzip;q=0, *", false),
        ("gzip;q=0.4, identity;q=0.5", false),
        ("gzip; q=1.0, identity; q=0.5", true),
        ("br", false),
        ("gzip;q=many", false),
        ("", false),
    ] {
        assert_eq!(wish(&[("accept-encoding", accepted)]).gzip, gzip, "{accepted}");
    }
    assert!(!wish(&[GZIP, ("cache-control", "no-cache, no-transform")]).may);
    let head = Request::get("/").header(GZIP.0, GZIP.1).body(()).unwrap().into_parts().0;
    assert!(!Wish::of(RpcStyle::Grpc, &head).may);
}

#[test]
fn answers_that_must_stay_as_they_are_do() {
    let compression = Compression::new(CompressionConfig::default());
    let wish = wish(&[GZIP]);
    let is_changed = |headers: &[(&str, &str)]| compression.answer(wish, answer(headers)).1;
    assert!(is_changed(&[JSON]));
    for (name, value) in [
        ("content-encoding", "br"),
        ("content-range", "bytes 0-1/2"),
        ("content-digest", "sha-256=::"),
        ("cache-control", "no-transform"),
        ("content-length", "100"),
    ] {
        assert!(!is_changed(&[JSON, (name, value)]), "{name}");
    }
    for kind in ["image/png", "application/grpc+json", "text/event-stream", ""] {
        assert!(!is_changed(&[("content-type", kind)]), "{kind}");
    }
    let mut partial = answer(&[JSON]);
    *partial.status_mut() = StatusCode::PARTIAL_CONTENT;
    assert!(!compression.answer(wish, partial).1);
    let all = CompressionConfig { content_types: vec!["*/*".to_owned()], ..CompressionConfig::default() };
    assert!(!Compression::new(all).answer(wish, answer(&[("content-type", "application/grpc")])).1);
}

#[test]
fn caches_and_comparisons_hear_of_it() {
    let compression = Compression::new(CompressionConfig::default());
    let tagged = [JSON, ("etag", "\"a\""), ("content-length", "5000"), ("vary", "origin")];
    let (response, _) = compression.answer(wish(&[GZIP]), answer(&tagged));
    let headers = response.headers();
    assert_eq!(
        (&headers["etag"], &headers["content-encoding"]),
        (&"W/\"a\"".parse().unwrap(), &"gzip".parse().unwrap())
    );
    assert!(!headers.contains_key("content-length"));
    assert_eq!(headers.get_all("vary").iter().count(), 2);
    // Whoever gets it as it is shares a cache with others.
    let (plain, _) = compression.answer(wish(&[]), answer(&tagged));
    assert_eq!(
        (&plain.headers()["etag"], plain.headers().get_all("vary").iter().count()),
        (&"\"a\"".parse().unwrap(), 2)
    );
}

#[test]
fn there_are_places_for_so_many_at_once() {
    let config = CompressionConfig { max_in_flight: 1, ..CompressionConfig::default() };
    let compression = Compression::new(config);
    let wish = wish(&[GZIP]);
    let (first, is_changed) = compression.answer(wish, answer(&[JSON]));
    assert!(is_changed && !compression.answer(wish, answer(&[JSON])).1);
    drop(first);
    assert!(compression.answer(wish, answer(&[JSON])).1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_goes_in_comes_out(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 0..5)) {
        let trailers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("t"))]);
        let frames = pieces.iter().map(|piece| Frame::data(Bytes::from(piece.clone())));
        let frames: Vec<_> = frames.chain([Frame::trailers(trailers.clone())]).map(Ok::<_, std::convert::Infallible>).collect();
        let response = Response::builder().header(JSON.0, JSON.1);
        let response = response.body(body::boxed(StreamBody::new(futures_util::stream::iter(frames)))).unwrap();
        let compression = Compression::new(CompressionConfig::default());
        let (response, is_changed) = compression.answer(wish(&[GZIP]), response);
        prop_assert_eq!(is_changed, true);
        let collected = futures_util::FutureExt::now_or_never(body::collect_with_trailers(response.into_body(), 1 << 20));
        let (bytes, told) = collected.unwrap().unwrap();
        prop_assert_eq!(told, Some(trailers));
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut out).unwrap();
        prop_assert_eq!(out, pieces.concat());
    }
}
