//! What the `relayd` binary tells of calls: lines of its access log, and spans for a collector.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, body};
use support::{Relay, Upstream, call, channel, config, text};

const ROUTE: &str = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";

/// Fails what is called `bad`, and remembers the `traceparent` of each call.
fn upstream(ca: &TestCa) -> (Upstream, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let traces = Arc::clone(&seen);
    let upstream = Upstream::start(ca, move |request: Request<Body>| {
        let trace = request.headers().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
        traces.lock().unwrap().extend(trace);
        let mut response = Response::new(body::full("fine"));
        if request.headers()["rpc-procedure"] == "bad" {
            response.headers_mut().insert("rpc-error-code", "not-found".parse().unwrap());
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        async move { response }
    });
    (upstream, seen)
}

#[tokio::test]
async fn a_line_says_what_became_of_a_call_and_no_secret() {
    let ca = TestCa::new();
    let (up, _) = upstream(&ca);
    let rest = format!("{ROUTE}[access_log]\npercent = 0\n");
    let mut relay = Relay::start(&ca, &config(&ca, &[&up.url], "", &rest));
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    // Well ended, and nobody wants those.
    text(caller.send(call("s", "fine", "{}")).await.unwrap()).await;
    let mut bad = call("s", "bad", "{\"password\":\"hunter2\"}");
    bad.headers_mut().insert("authorization", "Bearer hunter2".parse().unwrap());
    bad.headers_mut().insert("rpc-caller", "shop".parse().unwrap());
    text(caller.send(bad).await.unwrap()).await;
    let line = relay.logged("call");
    let said = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (said("procedure").as_str(), said("caller").as_str(), said("code").as_str()),
        ("bad", "shop", "not-found")
    );
    assert_eq!(
        (said("protocol").as_str(), said("outbound").as_str(), said("peer")),
        ("http2", "up", up.url.clone())
    );
    assert_eq!((said("target").as_str(), said("style").as_str()), ("omnirelay::access", "yarpc"));
    assert_eq!(said("identity"), "spiffe://test/service/caller");
    assert_eq!(line["response_bytes"], 4);
    assert!(!line.to_string().contains("hunter2"), "{line}");
    let mut nowhere = call("nowhere", "p", "{}");
    nowhere.headers_mut().insert("rpc-procedure", "x".repeat(500).parse().unwrap());
    text(caller.send(nowhere).await.unwrap()).await;
    let line = relay.logged("call");
    assert_eq!((line["code"].as_str(), line["outbound"].as_str()), (Some("unimplemented"), None));
    assert_eq!(line["procedure"].as_str().unwrap().len(), 128);
}

/// A collector, and what it was given.
fn collector(ca: &TestCa) -> (Upstream, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let (given, taken) = tokio::sync::mpsc::unbounded_channel();
    let collector = Upstream::start(ca, move |request: Request<Body>| {
        let given = given.clone();
        async move {
            assert_eq!((request.uri().path(), request.method().as_str()), ("/v1/traces", "POST"));
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
            let bytes = body::collect_limited(request.into_body(), 1 << 20).await.unwrap();
            given.send(bytes.to_vec()).unwrap();
            Response::new(body::empty())
        }
    });
    (collector, taken)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The bytes that pairs of digits stand for.
fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn a_call_is_joined_to_its_trace_and_its_span_reaches_the_collector() {
    let ca = TestCa::new();
    let ((up, traces), (collector, mut taken)) = (upstream(&ca), collector(&ca));
    let (endpoint, authority) = (&collector.url, ca.ca());
    let rest =
        format!("{ROUTE}[tracing]\nendpoint = {endpoint:?}\ntls = {{ ca = {authority:?} }}\npercent = 0\n");
    let mut relay = Relay::start(&ca, &config(&ca, &[&up.url], "", &rest));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let traced = |procedure: &str, trace: &str| {
        let mut request = call("s", procedure, "{}");
        request.headers_mut().insert("traceparent", trace.parse().unwrap());
        request
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    text(caller.send(traced("followed", &format!("00-{trace}-00f067aa0ba902b7-01"))).await.unwrap()).await;
    text(caller.send(traced("passed-by", &format!("00-{trace}-00f067aa0ba902b7-00"))).await.unwrap()).await;
    text(caller.send(call("s", "of-its-own", "{}")).await.unwrap()).await;
    let seen = traces.lock().unwrap().clone();
    assert_eq!(seen.len(), 3, "every call has a trace from here on: {seen:?}");
    let parts: Vec<Vec<&str>> = seen.iter().map(|one| one.split('-').collect()).collect();
    assert_eq!(
        (parts[0][1], parts[0][3], parts[1][1], parts[1][3], parts[2][3]),
        (trace, "01", trace, "00", "00")
    );
    assert_ne!((parts[0][2], parts[2][1]), ("00f067aa0ba902b7", trace));

    // A drain loses none of what waits.
    let ending = tokio::task::spawn_blocking(move || relay.terminate());
    let export = taken.recv().await.unwrap();
    assert_eq!(ending.await.unwrap(), 0);
    for part in [
        &unhex(trace)[..],
        &unhex(parts[0][2]),
        &unhex("00f067aa0ba902b7"),
        b"followed",
        b"service.name",
        b"relayd",
    ] {
        assert!(contains(&export, part), "{part:?}");
    }
    assert!(!contains(&export, b"passed-by") && !contains(&export, b"of-its-own"));
    assert!(taken.try_recv().is_err(), "one batch has all");
}
