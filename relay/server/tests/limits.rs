//! Limits of routes of the `relayd` binary: what callers are told, and who is not hit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use http::{Request, Response};
use relay_client::{Channel, ChannelConfig};
use relay_core::{Code, Protocol};
use relay_testkit::TestCa;
use relay_transport::{Body, body, respond};
use support::{Relay, Upstream, ask, call, channel, config, introspection, text};
use tokio::sync::Semaphore;

fn code(response: &Response<Body>) -> Code {
    respond::read_yarpc_status(response.status(), response.headers()).map_or(Code::Ok, |status| status.code)
}

fn fine(ca: &TestCa) -> Upstream {
    Upstream::start(ca, |_| async { Response::new(body::full("fine")) })
}

#[tokio::test]
async fn a_rate_refuses_with_the_time_to_wait() {
    let ca = TestCa::new();
    let up = fine(&ca);
    let routes = r#"
[[routes]]
name = "seldom"
service = "s"
outbound = "up"
limits = { rate = { calls = 1, per_ms = 3600000, burst = 2 } }
[[routes]]
service = "other"
outbound = "up"
"#;
    let relay = Relay::start(&ca, &config(&ca, &[&up.url], "", routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    for _ in 0..2 {
        assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "fine");
    }
    let refused = caller.send(call("s", "p", "")).await.unwrap();
    assert_eq!((code(&refused), refused.status().as_u16()), (Code::ResourceExhausted, 429));
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    let words = text(refused).await;
    assert!(words.contains("try again in ") && words.contains("limits.rate"), "{words}");
    let grpc =
        Request::post("/pkg.S/Get").header("content-type", "application/grpc").header("rpc-service", "s");
    let grpc = caller.send(grpc.body(body::full(&[0_u8; 5][..])).unwrap()).await.unwrap();
    assert_eq!(respond::read_grpc_code(grpc.headers()), Some(Code::ResourceExhausted));
    let pushback: u64 = grpc.headers()["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
    assert!((3_000_000..=3_600_000).contains(&pushback), "{pushback}");
    assert_eq!(text(caller.send(call("other", "p", "")).await.unwrap()).await, "fine");
    let metrics = ask(&ca, &relay, "/metrics").await;
    let line = "omnirelay_route_refused_total{route=\"seldom\",reason=\"rate\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    let shown = introspection(&ca, &relay).await;
    let refused: Vec<_> =
        shown.routes[0].refused.iter().map(|one| (one.reason.as_str(), one.calls)).collect();
    assert_eq!(refused, [("rate", 2)]);
}

#[tokio::test]
async fn each_caller_has_its_own_part() {
    let ca = TestCa::new();
    let up = fine(&ca);
    let routes = r#"
[[routes]]
service = "by-identity"
outbound = "up"
limits = { per_caller = { rate = { calls = 1, per_ms = 3600000 } } }
[[routes]]
service = "by-name"
outbound = "up"
limits = { per_caller = { by = "caller", rate = { calls = 1, per_ms = 3600000 } } }
"#;
    let relay = Relay::start(&ca, &config(&ca, &[&up.url], "", routes));
    let one = channel(&ca, &relay.data, Protocol::Http2);
    let other = ChannelConfig::new(relay.data.as_str(), ca.client_tls(Some("spiffe://test/service/other")));
    let other = Channel::new(&other).unwrap();
    let send = async |channel: &Channel, service: &str, name: &str| {
        let mut request = call(service, "p", "");
        request.headers_mut().insert("rpc-caller", name.parse().unwrap());
        code(&channel.send(request).await.unwrap())
    };
    assert_eq!(send(&one, "by-identity", "a").await, Code::Ok);
    // Another name is not another caller where the certificate counts.
    assert_eq!(send(&one, "by-identity", "b").await, Code::ResourceExhausted);
    assert_eq!(send(&other, "by-identity", "a").await, Code::Ok);
    assert_eq!(send(&one, "by-name", "a").await, Code::Ok);
    assert_eq!(send(&other, "by-name", "a").await, Code::ResourceExhausted);
    assert_eq!(send(&other, "by-name", "b").await, Code::Ok);
    let metrics = ask(&ca, &relay, "/metrics").await;
    for route in ["by-identity", "by-name"] {
        let line = format!("omnirelay_route_refused_total{{route=\"{route}\",reason=\"caller-rate\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn one_caller_does_not_take_every_place() {
    let ca = TestCa::new();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let up = Upstream::start(&ca, move |_| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.unwrap().forget();
            Response::new(body::full("fine"))
        }
    });
    let routes = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\nlimits = { max_pending = 3, per_caller = { max_pending = 2 } }\n";
    let relay = Relay::start(&ca, &config(&ca, &[&up.url], "", routes));
    let one = channel(&ca, &relay.data, Protocol::Http3);
    let other = ChannelConfig::new(relay.data.as_str(), ca.client_tls(Some("spiffe://test/service/other")));
    let other = Channel::new(&other).unwrap();
    let begin = |channel: &Channel| {
        let channel = channel.clone();
        omnirelay_runtime::spawn(
            "call",
            async move { code(&channel.send(call("s", "p", "")).await.unwrap()) },
        )
    };
    let pending = async |count: u64| {
        while introspection(&ca, &relay).await.routes[0].pending != Some(count) {
            tokio::task::yield_now().await;
        }
    };
    let mut waiting = vec![begin(&one), begin(&one)];
    pending(2).await;
    let refused = one.send(call("s", "p", "")).await.unwrap();
    assert!(text(refused).await.contains("limits.per_caller"));
    waiting.push(begin(&other));
    pending(3).await;
    let refused = other.send(call("s", "p", "")).await.unwrap();
    assert!(text(refused).await.contains("limits.max_pending"));
    gate.add_permits(3);
    for call in waiting {
        assert_eq!(call.await.unwrap(), Code::Ok);
    }
    pending(0).await;
    gate.add_permits(1);
    assert_eq!(code(&one.send(call("s", "p", "")).await.unwrap()), Code::Ok);
}

#[tokio::test]
async fn an_adaptive_limit_falls_where_peers_are_overloaded_and_refuses() {
    let ca = TestCa::new();
    let serving = Arc::new(AtomicU32::new(0));
    // It says that it is overloaded as soon as two calls are there at once.
    let up = Upstream::start(&ca, move |_| {
        let serving = Arc::clone(&serving);
        async move {
            let is_too_much = serving.fetch_add(1, Relaxed) > 0;
            tokio::time::sleep(Duration::from_millis(5)).await;
            serving.fetch_sub(1, Relaxed);
            let mut response = Response::new(body::full("fine"));
            if is_too_much {
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert("rpc-error-code", "unavailable".parse().unwrap());
            }
            response
        }
    });
    let routes =
        "[[routes]]\nservice = \"s\"\noutbound = \"up\"\nlimits = { adaptive = { min = 1, max = 64 } }\n";
    let outbound = "outliers = { consecutive_failures = 0 }\n";
    let relay = Relay::start(&ca, &config(&ca, &[&up.url], outbound, routes));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    assert_eq!(introspection(&ca, &relay).await.routes[0].limit, Some(8));
    let has_fallen = Arc::<AtomicBool>::default();
    let callers = (0..16).map(|_| {
        let (caller, has_fallen) = (caller.clone(), Arc::clone(&has_fallen));
        omnirelay_runtime::spawn("caller", async move {
            while !has_fallen.load(Relaxed) {
                text(caller.send(call("s", "p", "")).await.unwrap()).await;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    while introspection(&ca, &relay).await.routes[0].limit != Some(1) {
        tokio::task::yield_now().await;
    }
    has_fallen.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let shown = introspection(&ca, &relay).await;
    let route = &shown.routes[0];
    assert_eq!(route.refused[0].reason, "adaptive");
    assert_eq!(route.pending, Some(0));
}
