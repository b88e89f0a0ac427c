//! Deadlines that `relayd` cannot read, and those that leave no time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Request, Response, StatusCode};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, body};
use support::{Relay, Upstream, call, channel, config, text};

fn grpc(timeout: &'static str) -> Request<Body> {
    Request::post("/up.Up/Call")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(body::full(&b"\0\0\0\0\0"[..]))
        .unwrap()
}

fn yarpc(ttl: &'static str) -> Request<Body> {
    let mut request = call("up", "p", "{}");
    request.headers_mut().insert("context-ttl-ms", HeaderValue::from_static(ttl));
    request
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_goes_no_further() {
    let ca = TestCa::new();
    let seen = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&seen);
    let upstream = Upstream::start(&ca, move |_request| {
        counting.fetch_add(1, Ordering::Relaxed);
        async { Response::new(body::empty()) }
    });
    let routes = "[[routes]]\nservice = \"up\"\ngrpc_services = [\"up.Up\"]\noutbound = \"up\"\n";
    let relay = Relay::start(&ca, &config(&ca, &[&upstream.url], "", routes));
    for protocol in Protocol::ALL {
        let channel = channel(&ca, &relay.data, protocol);
        for ttl in ["abc", "-5", "1.5", ""] {
            let refused = channel.send(yarpc(ttl)).await.unwrap();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{protocol} {ttl}");
            assert_eq!(refused.headers()["rpc-error-code"], "invalid-argument", "{protocol} {ttl}");
            let text = text(refused).await;
            assert!(text.contains(&format!("`context-ttl-ms: {ttl}` is no deadline")), "{protocol}: {text}");
        }
        let late = channel.send(yarpc("0")).await.unwrap();
        assert_eq!(late.headers()["rpc-error-code"], "deadline-exceeded", "{protocol}");
        if protocol != Protocol::Http1 {
            for timeout in ["abc", "-1S", "123456789S", "5"] {
                let refused = channel.send(grpc(timeout)).await.unwrap();
                assert_eq!(refused.headers()["grpc-status"], "3", "{protocol} {timeout}");
                let message = refused.headers()["grpc-message"].to_str().unwrap();
                assert!(message.contains(&format!("`grpc-timeout: {timeout}`")), "{protocol}: {message}");
            }
        }
        let before = seen.load(Ordering::Relaxed);
        assert_eq!(channel.send(yarpc("5000")).await.unwrap().status(), StatusCode::OK, "{protocol}");
        assert_eq!(seen.load(Ordering::Relaxed), before + 1, "{protocol}");
    }
    assert_eq!(seen.load(Ordering::Relaxed), 3, "nothing else was sent on");
}
