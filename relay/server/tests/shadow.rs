//! Copies of calls through the `relayd` binary: what is compared, and that callers do not notice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use relay_core::Protocol;
use relay_core::introspect::Shadow;
use relay_testkit::TestCa;
use relay_transport::{Body, body};
use support::{Relay, Upstream, ask, call, channel, config, introspection, text};

/// A relay that copies calls to `next`.
fn start(ca: &TestCa, up: &Upstream, next: &str, shadow: &str) -> Relay {
    let next = format!(
        "[[outbounds]]\nname = \"next\"\npeers = [{next:?}]\ntls = {{ ca = {:?} }}\n[[routes]]\nservice = \"s\"\noutbound = \"up\"\nshadow = {{ outbound = \"next\"{shadow} }}\n",
        ca.ca()
    );
    Relay::start(ca, &config(ca, &[&up.url], "", &next))
}

/// What is told of the copies once so many have ended.
async fn ended(ca: &TestCa, relay: &Relay, count: u64) -> Shadow {
    loop {
        let shadow = introspection(ca, relay).await.routes.remove(0).shadow.unwrap();
        if shadow.equal + shadow.different + shadow.failed + shadow.skipped >= count && shadow.pending == 0 {
            return shadow;
        }
        tokio::task::yield_now().await;
    }
}

fn answer(request: &Request<Body>, who: &'static str) -> Response<Body> {
    let procedure = request.headers()["rpc-procedure"].to_str().unwrap();
    let mut response = Response::new(body::full(if procedure == "body" { who } else { "same" }));
    response.headers_mut().insert("x-ignored", who.parse().unwrap());
    response.headers_mut().insert("date", who.parse().unwrap());
    match procedure {
        "status" if who == "next" => *response.status_mut() = http::StatusCode::NOT_FOUND,
        "header" => drop(response.headers_mut().insert("x-told", who.parse().unwrap())),
        _ => {}
    }
    response
}

#[tokio::test]
async fn answers_are_compared_and_the_callers_own_is_given() {
    let ca = TestCa::new();
    let seen = Arc::<Mutex<Vec<(String, bool)>>>::default();
    let copies = Arc::clone(&seen);
    let up = Upstream::start(&ca, |request| async move { answer(&request, "up") });
    let next = Upstream::start(&ca, move |request: Request<Body>| {
        let copies = Arc::clone(&copies);
        async move {
            let response = answer(&request, "next");
            let is_marked = request.headers().contains_key("omnirelay-shadow");
            let message = body::collect_limited(request.into_body(), 1000).await.unwrap();
            copies.lock().unwrap().push((String::from_utf8(message.to_vec()).unwrap(), is_marked));
            response
        }
    });
    let relay = start(&ca, &up, &next.url, ", ignore_headers = [\"X-Ignored\"]");
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    for (count, (procedure, own)) in
        (1..).zip([("same", "same"), ("body", "up"), ("status", "same"), ("header", "same")])
    {
        let response = caller.send(call("s", procedure, "{\"a\":1}")).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, own), "{procedure}");
        ended(&ca, &relay, count).await;
    }
    let shadow = ended(&ca, &relay, 4).await;
    assert_eq!((shadow.equal, shadow.different, shadow.failed, shadow.skipped), (1, 3, 0, 0));
    assert!(shadow.call_us > 0 && shadow.copy_us > 0, "{shadow:?}");
    assert_eq!(*seen.lock().unwrap(), vec![("{\"a\":1}".to_owned(), true); 4]);
    let metrics = ask(&ca, &relay, "/metrics").await;
    for (outcome, count) in [
        ("equal", 1),
        ("different-status", 1),
        ("different-headers", 1),
        ("different-body", 1),
        ("failed", 0),
    ] {
        let line = format!("omnirelay_route_shadow_total{{route=\"s\",outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert!(
        metrics.contains("omnirelay_route_shadow_seconds_total{route=\"s\",of=\"copy\"} 0."),
        "{metrics}"
    );
}

#[tokio::test]
async fn who_is_copied_notices_nothing_of_what_becomes_of_the_copies() {
    let ca = TestCa::new();
    let up = Upstream::start(&ca, |_| async { Response::new(body::full("fine")) });
    // It never answers, so that copies stay in flight.
    let next = Upstream::start(&ca, |_| std::future::pending());
    let relay = start(&ca, &up, &next.url, ", max_pending = 2, max_body_bytes = 10");
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    for message in ["{}", "{}", "{}", "{\"name\":\"too long\"}"] {
        assert_eq!(text(caller.send(call("s", "p", message)).await.unwrap()).await, "fine");
    }
    let shadow = introspection(&ca, &relay).await.routes.remove(0).shadow.unwrap();
    assert_eq!((shadow.pending, shadow.skipped, shadow.equal), (2, 2, 0), "{shadow:?}");
}

#[tokio::test]
async fn copies_that_nobody_takes_are_failures_of_theirs_alone() {
    let ca = TestCa::new();
    let up = Upstream::start(&ca, |_| async { Response::new(body::full("fine")) });
    let gone = Upstream::start(&ca, |_| async { Response::new(body::empty()) }).url.clone();
    let relay = start(&ca, &up, &gone, "");
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let mut one = call("s", "p", "{}");
    one.headers_mut().insert("context-ttl-ms", "2000".parse().unwrap());
    assert_eq!(text(caller.send(one).await.unwrap()).await, "fine");
    let shadow = ended(&ca, &relay, 1).await;
    assert_eq!((shadow.failed, shadow.equal), (1, 0), "{shadow:?}");
}

#[tokio::test]
async fn grpc_is_compared_by_what_comes_after_the_message() {
    let ca = TestCa::new();
    let served = |status: &'static str| {
        move |request: Request<Body>| async move {
            // Only a copy is answered so.
            let is_copy = request.headers().contains_key("omnirelay-shadow");
            let differs = is_copy && request.uri().path() == "/pkg.S/Differs";
            let trailers = [("grpc-status", if differs { status } else { "0" })];
            let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let mut response =
                Response::new(body::with_trailers(&[0_u8, 0, 0, 0, 0][..], trailers.into_iter().collect()));
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            response
        }
    };
    let (up, next) = (Upstream::start(&ca, served("0")), Upstream::start(&ca, served("5")));
    let relay = start(&ca, &up, &next.url, "");
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    for (count, procedure) in (1..).zip(["Same", "Differs"]) {
        let request = Request::post(format!("/pkg.S/{procedure}")).header("rpc-service", "s");
        let request = request.header("content-type", "application/grpc").header("content-length", 5);
        let response = caller.send(request.body(body::full(&[0_u8; 5][..])).unwrap()).await.unwrap();
        let (_, trailers) = body::collect_with_trailers(response.into_body(), 100).await.unwrap();
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
        ended(&ca, &relay, count).await;
    }
    let shadow = ended(&ca, &relay, 2).await;
    assert_eq!((shadow.equal, shadow.different), (1, 1), "{shadow:?}");
    let metrics = ask(&ca, &relay, "/metrics").await;
    assert!(
        metrics.contains("omnirelay_route_shadow_total{route=\"s\",outcome=\"different-status\"} 1"),
        "{metrics}"
    );
}
