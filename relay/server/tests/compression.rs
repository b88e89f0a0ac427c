//! Answers of the `relayd` binary in gzip: for whom, and for whom not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::io::Read as _;

use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, BoxError, body};
use support::{Relay, Upstream, ask, call, channel, config, introspection, text};

fn document() -> String {
    (0..400).map(|number| format!("{{\"number\":{number}}}\n")).collect()
}

/// Answers with a document that says what it is, or in pieces that the test gives.
fn upstream(ca: &TestCa) -> (Upstream, tokio::sync::mpsc::UnboundedSender<&'static str>) {
    let (give, pieces) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let pieces = std::sync::Arc::new(std::sync::Mutex::new(Some(pieces)));
    let upstream = Upstream::start(ca, move |request: Request<Body>| {
        let pieces = std::sync::Arc::clone(&pieces);
        async move {
            let is_grpc =
                request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
            let is_streamed =
                request.headers().get("rpc-procedure").is_some_and(|procedure| procedure == "streamed");
            let body = match pieces.lock().unwrap().take_if(|_| is_streamed) {
                Some(mut pieces) => {
                    let next = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
                    let frames = futures_util::StreamExt::map(next, |piece| {
                        Ok::<_, BoxError>(Frame::data(piece.into()))
                    });
                    body::boxed(StreamBody::new(frames))
                }
                None => body::full(document()),
            };
            let mut response = Response::new(body);
            let kind = if is_grpc { "application/grpc" } else { "application/json" };
            response.headers_mut().insert("content-type", kind.parse().unwrap());
            response.headers_mut().insert("etag", "\"v1\"".parse().unwrap());
            response
        }
    });
    (upstream, give)
}

fn accepting(mut request: Request<Body>, what: &'static str) -> Request<Body> {
    request.headers_mut().insert("accept-encoding", what.parse().unwrap());
    request
}

const ROUTE: &str = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";

fn start(ca: &TestCa, up: &Upstream) -> Relay {
    let config = config(ca, &[&up.url], "", ROUTE);
    let data = "[data]\ncompression = { min_bytes = 100 }\n";
    Relay::start(ca, &config.replace("[data]\n", data).replace("[admin]\n", "[admin]\ncompression = {}\n"))
}

#[tokio::test]
async fn who_takes_gzip_gets_it_over_every_protocol() {
    let ca = TestCa::new();
    let (up, _give) = upstream(&ca);
    let relay = start(&ca, &up);
    for protocol in [Protocol::Http3, Protocol::Http2, Protocol::Http1] {
        let caller = channel(&ca, &relay.data, protocol);
        let answer = caller.send(accepting(call("s", "p", "{}"), "br, gzip;q=0.8")).await.unwrap();
        let (head, body) = answer.into_parts();
        assert_eq!(
            (&head.headers["content-encoding"], &head.headers["etag"]),
            (&"gzip".parse().unwrap(), &"W/\"v1\"".parse().unwrap())
        );
        assert_eq!(head.headers["vary"], "accept-encoding");
        let bytes = body::collect_limited(body, 1 << 20).await.unwrap();
        assert!(bytes.len() * 4 < document().len(), "{} bytes", bytes.len());
        let mut out = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut out).unwrap();
        assert_eq!(out, document(), "{protocol:?}");

        let plain = caller.send(accepting(call("s", "p", "{}"), "gzip;q=0")).await.unwrap();
        assert!(!plain.headers().contains_key("content-encoding"));
        assert_eq!(
            (plain.headers()["etag"].to_str().unwrap(), plain.headers()["vary"].to_str().unwrap()),
            ("\"v1\"", "accept-encoding")
        );
        assert_eq!(text(plain).await, document());
    }
    // gRPC frames its own.
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    let grpc =
        Request::post("/pkg.S/Get").header("content-type", "application/grpc").header("rpc-service", "s");
    let grpc = caller.send(accepting(grpc.body(body::full(&[0_u8; 5][..])).unwrap(), "gzip")).await.unwrap();
    assert!(!grpc.headers().contains_key("content-encoding"));
    // Errors of the relay are too small to be worth it.
    let error = caller.send(accepting(call("nobody", "p", "{}"), "gzip")).await.unwrap();
    assert!(!error.headers().contains_key("content-encoding"));
    let shown = introspection(&ca, &relay).await;
    assert_eq!(shown.inbounds[0].compressed, 3);
    assert!(
        ask(&ca, &relay, "/metrics")
            .await
            .contains("omnirelay_listener_compressed_total{listener=\"data\"} 3")
    );
}

#[tokio::test]
async fn an_answer_that_comes_in_pieces_still_does() {
    let ca = TestCa::new();
    let (up, give) = upstream(&ca);
    let relay = start(&ca, &up);
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    give.send("first").unwrap();
    let answer = caller.send(accepting(call("s", "streamed", "{}"), "gzip")).await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let mut body = answer.into_body();
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for (had, next) in [("first", Some("second")), ("firstsecond", None)] {
        while decoder.get_ref() != had.as_bytes() {
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            std::io::Write::write_all(&mut decoder, &piece).unwrap();
            std::io::Write::flush(&mut decoder).unwrap();
        }
        if let Some(next) = next {
            give.send(next).unwrap();
        }
    }
    drop(give);
    let rest = body.collect().await.unwrap().to_bytes();
    std::io::Write::write_all(&mut decoder, &rest).unwrap();
    assert_eq!(decoder.finish().unwrap(), b"firstsecond");
}
