//! The transport policy while meshkitd runs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use meshkit_client::PeerFilter;
use relay_core::observe::{DOWNGRADE_EVENTS, DowngradeEvents, EventKind, TRANSPORT_STATS, TransportStats};
use relay_core::{Code, Protocol};
use support::{Ask, Bench, DEADLINE, Meshkitd, OBSERVER, READER};

/// Time for meshkitd to start and to take the first calls.
const ENDS_IN: SignedDuration = SignedDuration::from_secs(6);

/// Everybody should speak HTTP/3; HTTP/2 is let go until the exception ends.
fn ending(at: Timestamp) -> String {
    format!(
        r#"[policy.categories.modern]
transports = ["http3"]
encodings = ["protobuf"]
preferred_required = true
[policy.categories.modern-rest]
transports = ["http3"]
encodings = ["json"]
preferred_required = true
[policy.endpoints]
"control-plane:grpc" = "modern"
"control-plane:rest" = "modern-rest"
[[policy.exceptions]]
name = "no-udp-yet"
scope = "control-plane:*"
transports = ["http2", "http1"]
reason = "the old racks drop UDP"
approver = "ops"
expires = "{at}"
"#
    )
}

/// Waits until the event stream tells that the exception has ended.
async fn wait_for_end(bench: &Bench, meshkitd: &Meshkitd) {
    let channel = bench.channel(meshkitd, Protocol::Http3, None);
    let request = http::Request::get(DOWNGRADE_EVENTS)
        .header("accept", "text/event-stream")
        .header("authorization", format!("Bearer {OBSERVER}"))
        .body(relay_transport::body::empty())
        .unwrap();
    let mut body = channel.send(request).await.unwrap().into_body();
    let mut text = String::new();
    while !text.contains("event: expired\n") {
        let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn an_exception_that_ends_is_refused_over_rest_and_grpc() {
    let bench = Bench::new(&ending(Timestamp::now() + ENDS_IN));
    let meshkitd = bench.start(&[]);
    let http2 = bench.channel(&meshkitd, Protocol::Http2, None);
    let http3 = bench.channel(&meshkitd, Protocol::Http3, None);
    let grpc2 = bench.client(&meshkitd, Protocol::Http2, READER);
    let grpc3 = bench.client(&meshkitd, Protocol::Http3, READER);
    let peers = |channel| Ask::get(channel, "/meshkit/peers").token(READER).send();
    assert_eq!(peers(&http2).await.status, 200);
    grpc2.list_peers(&PeerFilter::default(), 0, "").await.unwrap();

    wait_for_end(&bench, &meshkitd).await;
    let refused = peers(&http2).await;
    assert_eq!(refused.problem(), (403, "permission-denied".to_owned()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("`no-udp-yet` ended at"), "{}", refused.text);
    let error = grpc2.list_peers(&PeerFilter::default(), 0, "").await.unwrap_err();
    assert_eq!(error.code, Code::PermissionDenied);
    assert!(error.to_string().contains("no-udp-yet"), "{error}");
    assert_eq!(peers(&http3).await.status, 200);
    grpc3.list_peers(&PeerFilter::default(), 0, "").await.unwrap();
    // What decides about a restart is not refused.
    assert_eq!(Ask::get(&http2, "/healthz").send().await.status, 200);

    let ask = |path| Ask::get(&http3, path).token(OBSERVER).send();
    let stats: TransportStats = serde_json::from_str(&ask(TRANSPORT_STATS).await.text).unwrap();
    let of = |name: &str| stats.endpoints.iter().find(|one| one.endpoint == name).unwrap();
    let grpc = of("control-plane:grpc");
    assert_eq!((grpc.calls, grpc.downgraded, grpc.refused), (2, 1, 1));
    let exception = &of("control-plane:rest").exceptions[0];
    assert_eq!((exception.used, exception.refused, exception.expired), (1, 1, true));
    let latest: DowngradeEvents = serde_json::from_str(&ask(DOWNGRADE_EVENTS).await.text).unwrap();
    let refusals: Vec<&str> = latest
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Refused)
        .map(|event| event.endpoint.as_str())
        .collect();
    assert_eq!(refusals, ["control-plane:rest", "control-plane:grpc"]);
    let refused = ask("/omnirelay/control/downgrade-events?limit=0").await;
    assert_eq!(refused.problem(), (400, "invalid-argument".to_owned()));
    let reader = Ask::get(&http3, TRANSPORT_STATS).token(READER).send().await;
    assert_eq!(reader.problem(), (403, "permission-denied".to_owned()));
}

#[tokio::test]
async fn a_contract_is_called_as_grpc_or_not_at_all() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let disguised = Ask::new(&channel, http::Method::POST, "/meshkit.v1.RegistryService/ListPeers")
        .header("content-type", "application/x-protobuf");
    let refused = disguised.token(READER).send().await;
    assert_eq!(refused.problem(), (403, "permission-denied".to_owned()));
}

#[test]
fn a_restart_with_an_expired_exception_fails() {
    let bench = Bench::new(&ending("2026-01-01T00:00:00Z".parse().unwrap()));
    let output = bench.refused(&[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("it has expired") && stderr.contains("hint:"), "{stderr}");
}
