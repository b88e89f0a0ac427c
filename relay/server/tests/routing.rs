//! Routes and tries of the `relayd` binary, seen by its callers and by what it calls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, body};
use support::{Relay, Upstream, call, channel, config, introspection, text};

/// Answers with what arrived, as JSON.
async fn mirror(request: http::Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in &head.headers {
        seen.entry(name.to_string()).or_default().push(value.to_str().unwrap().to_owned());
    }
    let bytes = body::collect_limited(body, 1 << 20).await.unwrap();
    let seen = serde_json::json!({ "path": head.uri.path(), "headers": seen, "bytes": bytes.len() });
    Response::new(body::full(seen.to_string()))
}

#[tokio::test]
async fn rewrites_are_seen_upstream_and_answers_come_from_the_relay() {
    let ca = TestCa::new();
    let upstream = Upstream::start(&ca, mirror);
    let routes = r#"
[[routes]]
service = "s"
procedures = ["Old::*"]
outbound = "up"
[routes.rewrite]
service = "t"
procedure = "New::*"
set = { "x-set" = "2" }
add = { "x-add" = "b" }
remove = ["x-gone"]
[[routes]]
service = "s"
procedures = ["Fixed::ok"]
grpc_services = ["pkg.Fixed"]
respond = { code = "ok", body = "hi" }
[[routes]]
service = "s"
procedures = ["Fixed::away"]
respond = { code = "unavailable", message = "closed for today" }
[[routes]]
service = "s"
procedures = ["Small::*"]
outbound = "up"
limits = { max_request_bytes = 4 }
"#;
    let relay = Relay::start(&ca, &config(&ca, &[&upstream.url], "", routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let mut request = call("s", "Old::greet", "");
    for (name, value) in [("x-set", "1"), ("x-add", "a"), ("x-gone", "1")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let seen: serde_json::Value =
        serde_json::from_str(&text(caller.send(request).await.unwrap()).await).unwrap();
    let headers = &seen["headers"];
    assert_eq!(headers["rpc-service"], serde_json::json!(["t"]));
    assert_eq!(headers["rpc-procedure"], serde_json::json!(["New::greet"]));
    assert_eq!(headers["x-set"], serde_json::json!(["2"]));
    assert_eq!(headers["x-add"], serde_json::json!(["a", "b"]));
    assert_eq!(headers["x-gone"], serde_json::Value::Null);

    let fixed = caller.send(call("s", "Fixed::ok", "")).await.unwrap();
    assert_eq!((fixed.status().as_u16(), fixed.headers()["rpc-status"].to_str().unwrap()), (200, "success"));
    assert_eq!(text(fixed).await, "hi");
    let grpc = http::Request::post("/pkg.Fixed/Get").header("content-type", "application/grpc");
    let grpc = caller.send(grpc.body(body::full(&[0_u8; 5][..])).unwrap()).await.unwrap();
    let (message, trailers) = body::collect_with_trailers(grpc.into_body(), 100).await.unwrap();
    assert_eq!(
        (&message[..], &trailers.unwrap()["grpc-status"]),
        (&b"\0\0\0\0\x02hi"[..], &"0".parse().unwrap())
    );
    let away = caller.send(call("s", "Fixed::away", "")).await.unwrap();
    assert_eq!(
        (away.status().as_u16(), away.headers()["rpc-error-code"].to_str().unwrap()),
        (503, "unavailable")
    );
    assert_eq!(text(away).await, "closed for today");

    let small = caller.send(call("s", "Small::a", "1234")).await.unwrap();
    assert!(text(small).await.contains("\"bytes\":4"));
    let large = caller.send(call("s", "Small::a", "12345")).await.unwrap();
    assert_eq!(large.headers()["rpc-error-code"], "resource-exhausted");
    assert!(text(large).await.contains("max_request_bytes"));
    // The same of a body whose length nobody said.
    for protocol in [Protocol::Http3, Protocol::Http2] {
        let pieces = ["123", "45"].map(|piece| Ok::<_, Infallible>(Frame::data(piece.into())));
        let streamed = body::boxed(StreamBody::new(futures_util::stream::iter(pieces)));
        let mut request = call("s", "Small::a", "").map(|_| streamed);
        request.headers_mut().remove("content-length");
        let large = channel(&ca, &relay.data, protocol).send(request).await.unwrap();
        assert_eq!(large.headers()["rpc-error-code"], "resource-exhausted", "{protocol:?}");
        assert!(text(large).await.contains("max_request_bytes"));
    }
}

#[tokio::test]
async fn a_canary_gets_its_share() {
    let ca = TestCa::new();
    let upstreams = ["old", "new"]
        .map(|name| Upstream::start(&ca, move |_| async move { Response::new(body::full(name)) }));
    let second = format!(
        "[[outbounds]]\nname = \"canary\"\npeers = [{:?}]\ntls = {{ ca = {:?} }}\n",
        upstreams[1].url,
        ca.ca()
    );
    let routes = "[[routes]]\nservice = \"s\"\nsplit = [{ outbound = \"up\", weight = 80 }, { outbound = \"canary\", weight = 20 }]\n";
    let relay = Relay::start(&ca, &config(&ca, &[&upstreams[0].url], "", &format!("{second}{routes}")));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let mut new = 0;
    for _ in 0..500 {
        new += u32::from(text(caller.send(call("s", "p", "")).await.unwrap()).await == "new");
    }
    // 100 expected, 9 standard deviations allowed.
    assert!((20..=180).contains(&new), "{new} of 500");
}

/// An upstream that fails its first calls so, and says how many it got.
fn failing(ca: &TestCa, failures: u64, fail: fn() -> Response<Body>) -> (Upstream, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let upstream = Upstream::start(ca, move |_| {
        let first = counted.fetch_add(1, Relaxed) < failures;
        async move { if first { fail() } else { Response::new(body::full("fine")) } }
    });
    (upstream, calls)
}

fn error(code: &'static str, name: &'static str) -> Response<Body> {
    let answer = Response::builder().status(503).header("rpc-status", "error").header("rpc-error-code", code);
    answer.header("rpc-error-name", name).body(body::full("not now")).unwrap()
}

#[tokio::test]
async fn a_call_is_tried_again_only_as_its_route_says() {
    let ca = TestCa::new();
    let (upstream, calls) = failing(&ca, 4, || error("unavailable", "busy"));
    let routes = r#"
[[routes]]
service = "once"
outbound = "up"
[[routes]]
service = "twice"
outbound = "up"
retries = { max = 2, base_ms = 1 }
"#;
    let outbound = "outliers = { consecutive_failures = 0 }\n";
    let relay = Relay::start(&ca, &config(&ca, &[&upstream.url], outbound, routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let once = caller.send(call("once", "p", "")).await.unwrap();
    // The upstream's own words reach the caller.
    assert_eq!((once.status().as_u16(), once.headers()["rpc-error-name"].to_str().unwrap()), (503, "busy"));
    assert_eq!((text(once).await.as_str(), calls.load(Relaxed)), ("not now", 1));
    assert_eq!(caller.send(call("twice", "p", "")).await.unwrap().status(), 503);
    assert_eq!(calls.load(Relaxed), 4);
    assert_eq!(text(caller.send(call("twice", "p", "")).await.unwrap()).await, "fine");
}

#[tokio::test]
async fn the_budget_ends_what_retries_would_make_worse() {
    let ca = TestCa::new();
    let (upstream, calls) = failing(&ca, u64::MAX, || error("unavailable", "down"));
    let routes =
        "[[routes]]\nservice = \"s\"\noutbound = \"up\"\nretries = { max = 3, base_ms = 0, max_ms = 0 }\n";
    let outbound =
        "outliers = { consecutive_failures = 0 }\nretry_budget = { percent = 20, floor_per_second = 1 }\n";
    let relay = Relay::start(&ca, &config(&ca, &[&upstream.url], outbound, routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    for _ in 0..100 {
        assert_eq!(caller.send(call("s", "p", "")).await.unwrap().status(), 503);
    }
    // Where the calls last longer than the window, the floor is had more than once.
    let sent = calls.load(Relaxed);
    assert!((110..200).contains(&sent), "{sent} tries of 100 calls");
}

#[tokio::test]
async fn an_owner_that_is_one_no_more_is_not_the_callers_concern() {
    let ca = TestCa::new();
    let (stale, refused) = failing(&ca, u64::MAX, || error("unavailable", "stale-owner"));
    let (owner, served) = failing(&ca, 0, || error("unavailable", ""));
    let routes = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";
    let outbound = "balance = { strategy = \"ring\" }\n";
    let relay = Relay::start(&ca, &config(&ca, &[&stale.url, &owner.url], outbound, routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    for key in 0..40 {
        let mut request = call("s", "p", "");
        request.headers_mut().insert("rpc-shard-key", key.to_string().parse().unwrap());
        assert_eq!(text(caller.send(request).await.unwrap()).await, "fine");
    }
    assert_eq!(served.load(Relaxed), 40);
    assert!(refused.load(Relaxed) > 0, "no key belonged to the first peer");
    // To refuse what one does not own is no fault: nobody was left out for it.
    let shown = introspection(&ca, &relay).await;
    assert!(shown.outbounds[0].peers.iter().all(|peer| peer.ejections == 0));
}

#[tokio::test]
async fn a_hedge_hides_a_peer_that_never_answers() {
    let ca = TestCa::new();
    let silent = Upstream::start(&ca, |_| std::future::pending());
    let (fine, _) = failing(&ca, 0, || error("unavailable", ""));
    let routes =
        "[[routes]]\nservice = \"s\"\noutbound = \"up\"\nidempotent = true\nhedge = { after_ms = 20 }\n";
    let relay = Relay::start(&ca, &config(&ca, &[&silent.url, &fine.url], "", routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    for _ in 0..20 {
        assert_eq!(text(caller.send(call("s", "p", "{}")).await.unwrap()).await, "fine");
    }
    let shown = introspection(&ca, &relay).await;
    let [first, second] = &shown.outbounds[0].peers[..] else { panic!("{shown:?}") };
    // How many calls find out anew that the first is silent depends on how fast the second answers.
    assert!(first.calls <= 20 && second.calls == 20, "{shown:?}");
    assert_eq!((first.pending, second.pending), (0, 0));
    assert!(first.latency.is_none() && second.latency.is_some());
}

#[tokio::test]
async fn full_peers_and_full_routes_refuse_more() {
    let ca = TestCa::new();
    let silent = Upstream::start(&ca, |_| std::future::pending());
    let routes = r#"
[[routes]]
service = "route"
outbound = "up"
timeout_ms = 1000
limits = { max_pending = 1 }
[[routes]]
service = "peer"
outbound = "up"
"#;
    let relay = Relay::start(&ca, &config(&ca, &[&silent.url], "breaker = { max_pending = 2 }\n", routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let waiting: Vec<_> = ["route", "peer"]
        .map(|service| {
            let caller = caller.clone();
            omnirelay_runtime::spawn(
                "call",
                async move { caller.send(call(service, "p", "")).await.unwrap() },
            )
        })
        .into();
    while introspection(&ca, &relay).await.outbounds[0].peers[0].pending < 2 {
        tokio::task::yield_now().await;
    }
    let refused = caller.send(call("route", "p", "")).await.unwrap();
    assert_eq!(refused.headers()["rpc-error-code"], "resource-exhausted");
    let refused = caller.send(call("peer", "p", "")).await.unwrap();
    assert_eq!(refused.headers()["rpc-error-code"], "unavailable");
    assert!(text(refused).await.contains("breaker.max_pending"));
    let mut waiting = waiting.into_iter();
    let late = waiting.next().unwrap().await.unwrap();
    assert_eq!(late.headers()["rpc-error-code"], "deadline-exceeded");
}
