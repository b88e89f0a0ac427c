//! The `relayd` binary over real sockets: routing, diagnostics, bad input, drain.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

#[path = "relayd/policy.rs"]
mod policy;
mod support;

use http::Request;
use omnirelay_proto::DESCRIPTOR_SET;
use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use omnirelay_runtime::{DrainController, Metrics};
use relay_client::{Channel, ChannelConfig};
use relay_core::introspect::Introspection;
use relay_core::{Negotiated, Protocol, Status};
use relay_rpc::{Call, Dispatcher};
use relay_testkit::TestCa;
use relay_transport::{Listener, ListenerConfig, body};
use support::{Relay, relayd, server_tls};

fn config(ca: &TestCa, upstream: &str) -> String {
    let (tls, authority) = (server_tls(ca), ca.ca());
    format!(
        r#"kind = "relay"
node = {{ name = "one" }}
[data]
address = "127.0.0.1:0"
tls = {tls}
[admin]
address = "127.0.0.1:0"
tls = {tls}
[auth]
identities = [{{ spiffe = "spiffe://test/operator/*", scope = "mesh.observe" }}]
[[outbounds]]
name = "greeter"
peers = ["https://127.0.0.1:9", "{upstream}"]
protocols = ["http3"]
connect_timeout_ms = 300
tls = {{ ca = {authority:?} }}
[[routes]]
service = "greeter"
grpc_services = ["samples.v1.Greeter"]
outbound = "greeter"
"#
    )
}

/// The sample greeter on a free port.
fn upstream(ca: &TestCa) -> (String, DrainController) {
    let listener = ListenerConfig::new(([127, 0, 0, 1], 0), ca.server_tls("spiffe://test/service/greeter"));
    let listener = Listener::bind("upstream", &listener, &Metrics::default()).unwrap();
    let url = format!("https://{}", listener.local_addr());
    let service = Dispatcher::new("greeter", DESCRIPTOR_SET)
        .unwrap()
        .unary("/samples.v1.Greeter/Greet", |call: Call, request: GreetRequest| async move {
            if request.name == "slow" {
                tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            }
            let left = call.timeout().unwrap_or_default().as_millis().to_string();
            Ok::<_, Status>(GreetResponse { message: format!("Hello, {}!", request.name), served_by: left })
        })
        .unwrap()
        .into_service();
    let drain = DrainController::new();
    omnirelay_runtime::spawn("upstream", listener.serve(service, drain.drain()));
    (url, drain)
}

fn channel(ca: &TestCa, url: &str, protocol: Protocol, spiffe: &str) -> Channel {
    let mut config = ChannelConfig::new(url, ca.client_tls(Some(spiffe)));
    config.protocols = vec![protocol];
    Channel::new(&config).unwrap()
}

fn greet(name: &str) -> Request<relay_transport::Body> {
    Request::post("/yarpc/v1")
        .header("rpc-service", "greeter")
        .header("rpc-procedure", "Greeter::Greet")
        .header("rpc-encoding", "json")
        .header("context-ttl-ms", "2000")
        .header("content-length", format!("{{\"name\":\"{name}\"}}").len())
        .body(body::full(format!("{{\"name\":\"{name}\"}}")))
        .unwrap()
}

async fn text(response: http::Response<relay_transport::Body>) -> String {
    String::from_utf8(body::collect_limited(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn calls_go_through_and_introspection_shows_them() {
    let ca = TestCa::new();
    let (url, _upstream) = upstream(&ca);
    let mut relay = Relay::start(&ca, &config(&ca, &url));
    for protocol in Protocol::ALL {
        // One of the two peers is away: small calls go to the other one without the caller noticing.
        let channel = channel(&ca, &relay.data, protocol, "spiffe://test/service/caller");
        for _ in 0..4 {
            let response = channel.send(greet("Ada")).await.unwrap();
            assert_eq!(response.extensions().get::<Negotiated>().unwrap().protocol, protocol);
            assert_eq!(response.status(), 200);
            let answer: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
            assert_eq!(answer["message"], "Hello, Ada!");
            let left: u64 = answer["servedBy"].as_str().unwrap().parse().unwrap();
            assert!(left <= 2000, "the deadline grew to {left} ms on its way");
        }
    }
    let operator = channel(&ca, &relay.admin, Protocol::Http3, "spiffe://test/operator/me");
    let answer =
        operator.send(Request::get("/omnirelay/introspect").body(body::empty()).unwrap()).await.unwrap();
    let shown: Introspection = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(shown.node, "one");
    assert_eq!(shown.inbounds.iter().map(|inbound| inbound.requests).collect::<Vec<_>>(), [12, 1]);
    let peers = &shown.outbounds[0].peers;
    assert_eq!((peers[0].protocol, peers[1].protocol), (None, Some(Protocol::Http3)));
    assert_eq!(peers[1].calls, 12);
    assert_eq!(
        shown.procedures.iter().map(|it| it.procedure.as_str()).collect::<Vec<_>>(),
        ["*", "samples.v1.Greeter/*"]
    );
    assert_eq!(relay.terminate(), 0);
}

#[tokio::test]
async fn unroutable_calls_and_strangers_are_refused_with_a_hint() {
    let ca = TestCa::new();
    let (url, _upstream) = upstream(&ca);
    let relay = Relay::start(&ca, &config(&ca, &url));
    let caller = channel(&ca, &relay.data, Protocol::Http2, "spiffe://test/service/caller");
    let mut other = greet("Ada");
    other.headers_mut().insert("rpc-service", "nobody".parse().unwrap());
    let refused = caller.send(other).await.unwrap();
    assert_eq!(refused.status(), 501);
    assert_eq!(refused.headers()["rpc-error-code"], "unimplemented");
    let plain = caller.send(Request::get("/").body(body::empty()).unwrap()).await.unwrap();
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
    assert!(text(plain).await.contains("Rpc-Service"));

    let admin = channel(&ca, &relay.admin, Protocol::Http3, "spiffe://test/service/caller");
    let ask = |path: &str| Request::get(path).body(body::empty()).unwrap();
    assert_eq!(admin.send(ask("/healthz")).await.unwrap().status(), 200);
    assert_eq!(admin.send(ask("/readyz")).await.unwrap().status(), 200);
    assert_eq!(admin.send(ask("/metrics")).await.unwrap().status(), 403);
    let mut wrong_token = ask("/omnirelay/introspect");
    wrong_token.headers_mut().insert("authorization", "Bearer guess".parse().unwrap());
    let refused = admin.send(wrong_token).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(!text(refused).await.contains("guess"));
}

#[tokio::test]
async fn a_drain_finishes_the_calls_in_flight() {
    let ca = TestCa::new();
    let (url, _upstream) = upstream(&ca);
    let mut relay = Relay::start(&ca, &config(&ca, &url));
    let caller = channel(&ca, &relay.data, Protocol::Http3, "spiffe://test/service/caller");
    assert_eq!(caller.send(greet("Ada")).await.unwrap().status(), 200);
    let slow =
        omnirelay_runtime::spawn(
            "slow",
            async move { text(caller.send(greet("slow")).await.unwrap()).await },
        );
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let code = tokio::task::spawn_blocking(move || relay.terminate()).await.unwrap();
    assert_eq!(code, 0);
    assert!(slow.await.unwrap().contains("Hello, slow!"));
}

#[test]
fn bad_input_is_one_error_with_a_hint() {
    let ca = TestCa::new();
    let good = config(&ca, "https://127.0.0.1:8");
    let cases: [(String, &[&str], i32, &str); 6] = [
        (good.replace("[[routes]]", "[[routes]]\nservise = 1"), &[], 3, "did you mean `service`?"),
        (good.clone(), &["data.tls.certificate=\"/nowhere.pem\""], 3, "/nowhere.pem cannot be read"),
        (good.clone(), &["data.tls.certificate=\"/dev/zero\""], 3, "it holds more than 4194304 bytes"),
        (good.clone(), &["admin.protocols=[\"http1\"]"], 3, "diagnostics needs http3"),
        (good.clone(), &["data.address=\"192.0.2.1:1\""], 9, "choose an address of this machine"),
        (String::from("kind = "), &[], 3, "relay.toml:1"),
    ];
    for (text, sets, code, words) in cases {
        let output = relayd(&ca, &text, sets).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && said.contains("where:") && said.contains("hint:"), "{said}");
        assert!(!said.contains("panic"), "{said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error:")).count(), 1, "{said}");
    }
}

#[test]
fn a_command_line_that_is_off_is_one_error_with_a_hint() {
    for (arguments, words) in [(&["--confg", "x"][..], "'--config'"), (&[][..], "--config <FILE>")] {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_relayd")).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains("hint:") && said.contains(words), "{said}");
    }
}

#[test]
fn an_error_names_the_line_of_its_key() {
    let ca = TestCa::new();
    let tls = server_tls(&ca);
    let nowhere = tls.replace(".key", ".nowhere");
    let sections = |tls: &str| tls.trim_matches(['{', '}', ' ']).replace(", ", "\n");
    let whole = config(&ca, "https://127.0.0.1:8");
    let text = whole.replacen(&format!("tls = {tls}"), &format!("[data.tls]\n{}", sections(&nowhere)), 1);
    let line = 1 + text.lines().position(|line| line.starts_with("private_key")).unwrap();
    let output = relayd(&ca, &text, &[]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("relay.toml:{line}\n")), "{said}\n{text}");
}

#[test]
fn a_taken_port_is_named() {
    let ca = TestCa::new();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("admin.address=\"{}\"", held.local_addr().unwrap());
    let output = relayd(&ca, &config(&ca, "https://127.0.0.1:8"), &[&set]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(9), "{said}");
    assert!(said.contains(&held.local_addr().unwrap().to_string()) && said.contains("ss -lntup"), "{said}");
}

#[test]
fn editors_get_the_schema_of_the_configuration() {
    let printed =
        std::process::Command::new(env!("CARGO_BIN_EXE_relayd")).arg("--print-schema").output().unwrap();
    assert!(printed.status.success());
    let schema: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["properties"]["routes"]["description"].is_string(), "{schema}");
}
