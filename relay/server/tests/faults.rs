//! Faults that the `relayd` binary injects on purpose: configured, and ordered by operators for a time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use relay_client::{Channel, ChannelConfig};
use relay_core::fault::{CLEAR_FAULTS, FAULTS, Faults};
use relay_core::{Code, Protocol};
use relay_testkit::TestCa;
use relay_transport::{Body, body, respond};
use support::{Relay, Upstream, call, channel, config, introspection, text};

const OPERATOR: &str = "spiffe://test/boss";

/// A relay whose operator is [`OPERATOR`], and how often it called upstream.
fn start(ca: &TestCa, routes: &str) -> (Relay, Upstream, Arc<AtomicU64>) {
    let calls = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&calls);
    let upstream = Upstream::start(ca, move |_| {
        counted.fetch_add(1, Relaxed);
        async { Response::new(body::full("fine")) }
    });
    let config = config(ca, &[&upstream.url], "", routes);
    let scopes = "identities = [{ spiffe = \"spiffe://test/boss\", scope = \"mesh.operate\" }, ";
    (Relay::start(ca, &config.replace("identities = [", scopes)), upstream, calls)
}

async fn asked(ca: &TestCa, relay: &Relay, who: &str, ask: (Method, &str), content: &str) -> Response<Body> {
    let config = ChannelConfig::new(relay.admin.as_str(), ca.client_tls(Some(who)));
    let mut request = Request::new(body::full(content.to_owned()));
    (*request.method_mut(), *request.uri_mut()) = (ask.0, ask.1.parse().unwrap());
    Channel::new(&config).unwrap().send(request).await.unwrap()
}

async fn told(response: Response<Body>) -> Faults {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&text(response).await).unwrap()
}

fn code(response: &Response<Body>) -> Code {
    respond::read_yarpc_status(response.status(), response.headers()).map_or(Code::Ok, |status| status.code)
}

const ROUTES: &str = r#"
[[routes]]
service = "broken"
outbound = "up"
fault = { abort = { code = "aborted" } }
[[routes]]
name = "slow"
service = "s"
procedures = ["slow"]
outbound = "up"
fault = { delay = { ms = 300, percent = 100 } }
[[routes]]
service = "s"
outbound = "up"
[access_log]
"#;

#[tokio::test]
async fn configured_faults_are_suffered_counted_and_told() {
    let ca = TestCa::new();
    let (mut relay, _up, calls) = start(&ca, ROUTES);
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let broken = caller.send(call("broken", "p", "")).await.unwrap();
    assert_eq!((code(&broken), calls.load(Relaxed)), (Code::Aborted, 0));
    assert!(text(broken).await.contains("omnirelay fault list"));
    let line = relay.logged("call");
    assert_eq!((line["fault"].as_str(), line["route"].as_str()), (Some("abort"), Some("broken")));
    assert_eq!(line["code"], "aborted");

    let began = Instant::now();
    assert_eq!(text(caller.send(call("s", "slow", "")).await.unwrap()).await, "fine");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(relay.logged("call")["fault"], "delay");
    // Whoever has less time than that is told at its end, and nothing is sent.
    let mut hasty = call("s", "slow", "");
    hasty.headers_mut().insert("context-ttl-ms", "20".parse().unwrap());
    assert_eq!(code(&caller.send(hasty).await.unwrap()), Code::DeadlineExceeded);
    assert_eq!(calls.load(Relaxed), 1);
    assert_eq!(text(caller.send(call("s", "other", "")).await.unwrap()).await, "fine");

    // The same over gRPC.
    let grpc = Request::post("/pkg.S/Get")
        .header("content-type", "application/grpc")
        .header("rpc-service", "broken");
    let grpc = caller.send(grpc.body(body::full(&[0_u8; 5][..])).unwrap()).await.unwrap();
    assert_eq!(respond::read_grpc_code(grpc.headers()), Some(Code::Aborted));

    let metrics = support::ask(&ca, &relay, "/metrics").await;
    for line in [
        "omnirelay_route_faults_total{route=\"broken\",kind=\"abort\"} 2",
        "omnirelay_route_faults_total{route=\"slow\",kind=\"delay\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let shown = introspection(&ca, &relay).await;
    let faulty: Vec<_> =
        shown.routes.iter().map(|route| (route.name.as_str(), route.fault.is_some())).collect();
    assert_eq!(faulty, [("broken", true), ("slow", true), ("s", false)]);
}

#[tokio::test]
async fn an_operator_orders_faults_for_a_time_and_nobody_else_does() {
    let ca = TestCa::new();
    let (relay, _up, calls) = start(&ca, ROUTES);
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    let get = (Method::GET, FAULTS);
    let before = told(asked(&ca, &relay, "spiffe://test/operator/me", get.clone(), "").await).await;
    assert_eq!(before.routes.len(), 2, "{before:?}");

    let order = |route: &str, for_ms: u64| {
        format!(
            r#"{{"route": "{route}", "for_ms": {for_ms}, "fault": {{"abort": {{"code": "data-loss"}}}}}}"#
        )
    };
    let put = (Method::PUT, FAULTS);
    // Who may only look may not order, and neither may a page in a browser.
    let refused = asked(&ca, &relay, "spiffe://test/operator/me", put.clone(), &order("s", 60_000)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let refused = asked(&ca, &relay, "spiffe://test/stranger", get, "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    for (content, status, hint) in [
        (order("nobody", 60_000), StatusCode::NOT_FOUND, "omnirelay introspect"),
        (order("s", 0), StatusCode::BAD_REQUEST, "for_ms"),
        (order("s", 86_400_001), StatusCode::BAD_REQUEST, "for_ms"),
        (order("s", 1).replace("data-loss", "ok"), StatusCode::BAD_REQUEST, "than `ok`"),
        (order("s", 1).replace("route", "rout"), StatusCode::BAD_REQUEST, "write it as"),
    ] {
        let refused = asked(&ca, &relay, OPERATOR, put.clone(), &content).await;
        assert_eq!(refused.status(), status, "{content}");
        assert!(text(refused).await.contains(hint), "{content}");
    }
    assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "fine");

    let ordered = told(asked(&ca, &relay, OPERATOR, put.clone(), &order("s", 60_000)).await).await;
    let one = ordered.routes.iter().find(|route| route.route == "s").unwrap();
    assert_eq!((one.by.as_deref(), one.until.is_some(), one.configured), (Some(OPERATOR), true, None));
    assert_eq!(code(&caller.send(call("s", "p", "")).await.unwrap()), Code::DataLoss);
    assert_eq!(calls.load(Relaxed), 1);

    // An order of nothing holds off what the configuration says.
    let off = r#"{"route": "broken", "for_ms": 60000}"#;
    told(asked(&ca, &relay, OPERATOR, put.clone(), off).await).await;
    assert_eq!(text(caller.send(call("broken", "p", "")).await.unwrap()).await, "fine");

    let clear = (Method::POST, CLEAR_FAULTS);
    let cleared = told(asked(&ca, &relay, OPERATOR, clear, "{}").await).await;
    assert!(cleared.routes.iter().all(|route| route.by.is_none()), "{cleared:?}");
    assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "fine");
    assert_eq!(code(&caller.send(call("broken", "p", "")).await.unwrap()), Code::Aborted);

    // One that has ended is over with nobody's help.
    told(asked(&ca, &relay, OPERATOR, put, &order("s", 50)).await).await;
    while code(&caller.send(call("s", "p", "")).await.unwrap()) == Code::DataLoss {
        // Nobody reads what the relay logs of each: more than its pipe holds would stop it.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = support::ask(&ca, &relay, FAULTS).await;
    let after: Faults = serde_json::from_str(&after).unwrap();
    assert!(after.routes.iter().all(|route| route.by.is_none()), "{after:?}");
}

#[tokio::test]
async fn orders_go_on_across_reloads_and_new_limits_count() {
    let ca = TestCa::new();
    let (relay, _up, _calls) = start(&ca, ROUTES);
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let order = r#"{"route": "s", "for_ms": 60000, "fault": {"abort": {"code": "data-loss"}}}"#;
    told(asked(&ca, &relay, OPERATOR, (Method::PUT, FAULTS), order).await).await;
    let file = ca.dir().join("0/relay.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let limited = "outbound = \"up\"\nlimits = { rate = { calls = 1, per_ms = 3600000 } }\n[access_log]";
    std::fs::write(&file, before.replace("outbound = \"up\"\n[access_log]", limited)).unwrap();
    let reload = (Method::POST, omnirelay_runtime::reload::RELOAD);
    let reloaded = asked(&ca, &relay, OPERATOR, reload, "").await;
    assert_eq!(reloaded.status(), StatusCode::OK, "{}", text(reloaded).await);
    let shown = introspection(&ca, &relay).await;
    assert!(shown.routes[2].fault.is_some() && shown.routes[2].pending.is_some(), "{shown:?}");
    told(asked(&ca, &relay, OPERATOR, (Method::POST, CLEAR_FAULTS), r#"{"route": "s"}"#).await).await;
    assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "fine");
    assert_eq!(code(&caller.send(call("s", "p", "")).await.unwrap()), Code::ResourceExhausted);
}
