//! How long a caller waits, as it may and may not say so, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use relay_core::Protocol;
use relay_rpc::{Call, Dispatcher, Messages, Status, raw};
use relay_transport::{Body, body};
use support::{GRPC, Server};

/// Two procedures that answer with how many milliseconds are left.
fn left() -> Dispatcher {
    let left = |call: &Call| {
        Bytes::from(call.timeout().map_or("none".to_owned(), |left| left.as_millis().to_string()))
    };
    Dispatcher::new("left", b"")
        .unwrap()
        .add(raw("/l.L/Unary").unary(move |call: Call, _request: Bytes| {
            let left = left(&call);
            async move { Ok::<_, Status>(left) }
        }))
        .unwrap()
        .add(raw("/l.L/Stream").client_stream(move |call: Call, _requests: Messages<Bytes>| {
            let left = left(&call);
            async move { Ok::<_, Status>(left) }
        }))
        .unwrap()
}

fn grpc(method: &str, timeout: &[u8]) -> Request<Body> {
    Request::post(format!("/l.L/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", HeaderValue::from_bytes(timeout).unwrap())
        // Another protocol's word is none here.
        .header("context-ttl-ms", "abc")
        .body(body::full(&b"\0\0\0\0\0"[..]))
        .unwrap()
}

fn yarpc(ttl: &[u8]) -> Request<Body> {
    Request::post("/yarpc/v1")
        .header("rpc-service", "left")
        .header("rpc-procedure", "l.L::Unary")
        .header("rpc-encoding", "raw")
        .header("context-ttl-ms", HeaderValue::from_bytes(ttl).unwrap())
        .header("grpc-timeout", "abc")
        .body(body::empty())
        .unwrap()
}

const UNREADABLE_TIMEOUTS: [&[u8]; 8] = [b"abc", b"-1S", b"123456789m", b"", b"1", b"S", b"1.5S", b"\xff1S"];
const UNREADABLE_TTLS: [&[u8]; 7] = [b"abc", b"-5", b"", b"1.5", b"1e3", b"99999999999999999999", b"\xff"];

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused_by_its_header_and_never_taken_for_none() {
    let server = Server::start(left());
    for protocol in GRPC {
        let channel = server.channel(protocol);
        for (method, timeout) in
            ["Unary", "Stream"].iter().flat_map(|one| UNREADABLE_TIMEOUTS.map(|timeout| (one, timeout)))
        {
            let what = format!("{protocol} {method} {}", timeout.escape_ascii());
            let response = channel.send(grpc(method, timeout)).await.unwrap();
            assert_eq!(response.headers()["grpc-status"], "3", "{what}");
            let message = response.headers()["grpc-message"].to_str().unwrap();
            assert!(message.contains("grpc-timeout") && message.contains("1500m"), "{what}: {message}");
        }
        let response = channel.send(grpc("Unary", b"2S")).await.unwrap();
        let (answer, trailers) = body::collect_with_trailers(response.into_body(), 100).await.unwrap();
        let left: u64 = std::str::from_utf8(&answer[5..]).unwrap().parse().unwrap();
        assert!(left <= 2000, "{protocol}: {left} ms");
        assert_eq!(trailers.unwrap()["grpc-status"], "0", "{protocol}");
        // A hop that has no time left says so.
        let response = channel.send(grpc("Unary", b"0n")).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "4", "{protocol}");
    }
    for protocol in Protocol::ALL {
        let channel = server.channel(protocol);
        for ttl in UNREADABLE_TTLS {
            let what = format!("{protocol} {}", ttl.escape_ascii());
            let response = channel.send(yarpc(ttl)).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{what}");
            assert_eq!(response.headers()["rpc-error-code"], "invalid-argument", "{what}");
            let text = response.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(text.to_vec()).unwrap();
            assert!(
                text.contains("`context-ttl-ms: 1500`") && text.contains("is no deadline"),
                "{what}: {text}"
            );
        }
        let response = channel.send(yarpc(b"2000")).await.unwrap();
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        let left: u64 = std::str::from_utf8(&answer).unwrap().parse().unwrap();
        assert!(left <= 2000, "{protocol}: {left} ms");
        let response = channel.send(yarpc(b"0")).await.unwrap();
        assert_eq!(response.headers()["rpc-error-code"], "deadline-exceeded", "{protocol}");
    }
}
