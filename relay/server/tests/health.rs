//! Probes of the `relayd` binary: what they take out, and what they take in again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::Response;
use relay_core::Protocol;
use relay_core::introspect::PeerState;
use relay_testkit::TestCa;
use relay_transport::{Body, body};
use support::{Relay, Upstream, ask, call, channel, config, introspection, text};

/// Waits for what the probes have to find out.
async fn until(ca: &TestCa, relay: &Relay, wanted: [PeerState; 2]) {
    loop {
        let shown = introspection(ca, relay).await;
        let states: Vec<PeerState> = shown.outbounds[0].peers.iter().map(|peer| peer.state).collect();
        if states == wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Answers probes as told, and calls with its name.
fn probed(ca: &TestCa, name: &'static str) -> (Upstream, Arc<AtomicBool>) {
    let healthy = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&healthy);
    let upstream = Upstream::start(ca, move |request| {
        let healthy = told.load(Relaxed);
        async move { answer(request.uri().path(), healthy, name) }
    });
    (upstream, healthy)
}

fn answer(path: &str, healthy: bool, name: &'static str) -> Response<Body> {
    match path {
        "/grpc.health.v1.Health/Check" => {
            // `SERVING` or `NOT_SERVING`.
            let message = [0, 0, 0, 0, 2, 0x08, if healthy { 1 } else { 2 }];
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let answer = Response::builder().header("content-type", "application/grpc");
            answer.body(body::with_trailers(message.to_vec(), trailers)).unwrap()
        }
        "/health" => Response::builder().status(if healthy { 204 } else { 500 }).body(body::empty()).unwrap(),
        _ => Response::new(body::full(name)),
    }
}

#[tokio::test]
async fn a_peer_gets_calls_only_while_its_probes_are_answered() {
    for kind in ["kind = \"http\", path = \"/health\"", "kind = \"grpc\", service = \"s\""] {
        let ca = TestCa::new();
        let ((first, healthy), (second, _)) = (probed(&ca, "first"), probed(&ca, "second"));
        let health = format!("health = {{ {kind}, interval_ms = 20, timeout_ms = 5000 }}\n");
        let routes = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";
        let relay = Relay::start(&ca, &config(&ca, &[&first.url, &second.url], &health, routes));
        let caller = channel(&ca, &relay.data, Protocol::Http3);
        until(&ca, &relay, [PeerState::Up; 2]).await;
        healthy.store(false, Relaxed);
        until(&ca, &relay, [PeerState::Unhealthy, PeerState::Up]).await;
        for _ in 0..20 {
            assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "second");
        }
        let metrics = ask(&ca, &relay, "/metrics").await;
        assert!(
            metrics.contains("omnirelay_outbound_peers{outbound=\"up\",state=\"unhealthy\"} 1"),
            "{metrics}"
        );
        assert!(!metrics.contains(" -0"), "{metrics}");
        healthy.store(true, Relaxed);
        until(&ca, &relay, [PeerState::Up; 2]).await;
        let mut first = 0;
        while first == 0 {
            first += u32::from(text(caller.send(call("s", "p", "")).await.unwrap()).await == "first");
        }
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_found_by_tcp() {
    let ca = TestCa::new();
    let (first, _) = probed(&ca, "first");
    let health = "health = { kind = \"tcp\", interval_ms = 20 }\n";
    let relay = Relay::start(&ca, &config(&ca, &["https://127.0.0.1:9", &first.url], health, ""));
    until(&ca, &relay, [PeerState::Unhealthy, PeerState::Up]).await;
}
