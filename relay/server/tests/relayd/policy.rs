//! The transport policy while a relay runs.

use std::io::Read as _;

use jiff::{SignedDuration, Timestamp};
use relay_core::observe::{DowngradeEvent, DowngradeEvents, EventKind, TransportStats};

use super::*;

/// Time for the relay to start and to take the first calls.
const FIRST: SignedDuration = SignedDuration::from_secs(6);
const SECOND: SignedDuration = SignedDuration::from_secs(8);

/// Callers should leave HTTP/1.1 and both outbounds HTTP/2; there are exceptions until they have.
/// `greeter` may use HTTP/3 as well; `stuck`, which has the procedures' long names, may not.
fn ending(ca: &TestCa, upstream: &str, callers: Timestamp, greeter: Timestamp) -> String {
    let config = config(ca, upstream)
        .replace("https://127.0.0.1:9\", \"", "")
        .replace("protocols = [\"http3\"]", "protocols = [\"http3\", \"http2\"]")
        .replace("[[routes]]", "[[routes]]\nservice = \"greeter\"\nprocedures = [\"samples.v1.*\"]\noutbound = \"stuck\"\n[[routes]]");
    let authority = ca.ca();
    format!(
        r#"{config}
[[outbounds]]
name = "stuck"
peers = ["{upstream}"]
protocols = ["http2"]
tls = {{ ca = {authority:?} }}
[policy.categories.edge]
transports = ["http3", "http2"]
encodings = ["protobuf", "json"]
[policy.categories.modern]
transports = ["http3"]
encodings = ["protobuf", "json"]
[policy.endpoints]
"data:http" = "edge"
"outbound:greeter" = "modern"
"outbound:stuck" = "modern"
[[policy.exceptions]]
name = "old-callers"
scope = "data:http"
procedures = ["Greeter::*"]
transports = ["http1"]
reason = "the batch hosts speak nothing else"
approver = "ops"
expires = "{callers}"
[[policy.exceptions]]
name = "old-greeter"
scope = "outbound:*"
transports = ["http2"]
reason = "its hosts have no UDP"
approver = "ops"
expires = "{greeter}"
"#
    )
}

/// The same server where UDP does not come through.
async fn without_udp(upstream: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let upstream = upstream.strip_prefix("https://").unwrap().to_owned();
    omnirelay_runtime::spawn("tcp-alone", async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(&upstream).await.unwrap();
            omnirelay_runtime::spawn("tcp-copy", async move {
                tokio::io::copy_bidirectional(&mut caller, &mut server).await
            });
        }
    });
    url
}

/// A relay's events as they come.
struct Watch(relay_transport::Body, String);

impl Watch {
    async fn open(operator: &Channel) -> Self {
        let request = Request::get(relay_core::observe::DOWNGRADE_EVENTS)
            .header("accept", "text/event-stream")
            .body(body::empty())
            .unwrap();
        let response = operator.send(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body(), String::new())
    }

    /// Waits for an event of a kind that names an exception.
    async fn next(&mut self, kind: EventKind, exception: &str) -> DowngradeEvent {
        use http_body_util::BodyExt as _;
        loop {
            while let Some((record, rest)) = self.1.split_once("\n\n") {
                let data = record.lines().find_map(|line| line.strip_prefix("data: "));
                let event = data.and_then(|data| serde_json::from_str::<DowngradeEvent>(data).ok());
                self.1 = rest.to_owned();
                match event {
                    Some(event) if event.kind == kind && event.exception.as_deref() == Some(exception) => {
                        return event;
                    }
                    _ => {}
                }
            }
            let frame = tokio::time::timeout(std::time::Duration::from_secs(30), self.0.frame()).await;
            let data = frame.unwrap().unwrap().unwrap().into_data().unwrap();
            self.1.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

async fn read<T: serde::de::DeserializeOwned>(operator: &Channel, path: &str) -> T {
    let response = operator.send(Request::get(path).body(body::empty()).unwrap()).await.unwrap();
    serde_json::from_str(&text(response).await).unwrap()
}

#[tokio::test]
async fn an_exception_that_ends_while_the_relay_runs_is_refused_from_then_on() {
    let ca = TestCa::new();
    let (url, _upstream) = upstream(&ca);
    let url = without_udp(&url).await;
    let (first, second) = (Timestamp::now() + FIRST, Timestamp::now() + SECOND);
    let mut relay = Relay::start(&ca, &ending(&ca, &url, first, second));
    let caller = |protocol| channel(&ca, &relay.data, protocol, "spiffe://test/service/caller");
    let (http1, http2) = (caller(Protocol::Http1), caller(Protocol::Http2));
    let operator = channel(&ca, &relay.admin, Protocol::Http3, "spiffe://test/operator/me");
    let mut watch = Watch::open(&operator).await;

    assert_eq!(http1.send(greet("Ada")).await.unwrap().status(), 200);
    assert_eq!(http2.send(greet("Ada")).await.unwrap().status(), 200);
    let mut other = greet("Ada");
    other.headers_mut().insert("rpc-procedure", "Other::Greet".parse().unwrap());
    assert_eq!(http1.send(other).await.unwrap().status(), 403, "the exception is for Greeter::* alone");

    let ended = watch.next(EventKind::Expired, "old-callers").await;
    assert!(ended.at >= first);
    let refused = http1.send(greet("Ada")).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["rpc-error-code"], "permission-denied");
    assert_eq!(refused.headers()["rpc-error-name"], "transport-policy");
    let said = text(refused).await;
    assert!(said.contains("`old-callers` ended at") && said.contains("use http3 with protobuf"), "{said}");
    let told = watch.next(EventKind::Refused, "old-callers").await;
    // The path is the caller's to choose, and is no way around it.
    let around = Request::post("/healthz")
        .header("content-type", "application/grpc")
        .header("rpc-service", "greeter")
        .body(body::empty())
        .unwrap();
    assert_eq!(http1.send(around).await.unwrap().headers()["grpc-status"], "7");
    assert_eq!((told.endpoint.as_str(), told.protocol), ("data:http", Some(Protocol::Http1)));
    assert_eq!(http2.send(greet("Ada")).await.unwrap().status(), 200, "others are not touched by it");

    let by_its_long_name = || {
        let mut request = greet("Ada");
        let name = "samples.v1.Greeter::Greet".parse().unwrap();
        request.headers_mut().insert("rpc-procedure", name);
        request
    };
    assert_eq!(http2.send(by_its_long_name()).await.unwrap().status(), 200);
    let carried = async || {
        let shown: Introspection = read(&operator, "/omnirelay/introspect").await;
        let peer = |outbound: usize| shown.outbounds[outbound].peers[0].clone();
        ((peer(0).protocol, peer(0).calls), (peer(1).protocol, peer(1).calls))
    };
    assert_eq!(carried().await, ((Some(Protocol::Http2), 3), (Some(Protocol::Http2), 1)));

    watch.next(EventKind::Expired, "old-greeter").await;
    let refused = http2.send(by_its_long_name()).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(text(refused).await.contains("outbound:stuck"));
    watch.next(EventKind::Refused, "old-greeter").await;
    // HTTP/3 alone is tried, although a connection over HTTP/2 is open; what may not is not sent.
    assert_eq!(http2.send(greet("Ada")).await.unwrap().status(), 503);
    assert_eq!(carried().await, ((Some(Protocol::Http2), 4), (Some(Protocol::Http2), 1)));

    let stats: TransportStats = read(&operator, relay_core::observe::TRANSPORT_STATS).await;
    let of = |name: &str| stats.endpoints.iter().find(|one| one.endpoint == name).unwrap();
    let data = of("data:http");
    assert_eq!((data.category.as_str(), data.refused), ("edge", 3));
    assert_eq!(
        (data.exceptions[0].used, data.exceptions[0].refused, data.exceptions[0].expired),
        (1, 1, true)
    );
    let greeter = of("outbound:greeter");
    assert_eq!((greeter.calls, greeter.downgraded, greeter.refused), (4, 3, 0));
    let wires: Vec<_> = greeter.wires.iter().map(|it| (it.protocol, it.answered, it.failed)).collect();
    assert_eq!(wires, [(Protocol::Http3, 0, 1), (Protocol::Http2, 3, 0)]);
    let stuck = of("outbound:stuck");
    assert_eq!((stuck.calls, stuck.downgraded, stuck.refused), (1, 1, 1));
    let latest: DowngradeEvents = read(&operator, "/omnirelay/control/downgrade-events?limit=1").await;
    assert_eq!((latest.node.as_str(), latest.events.len()), ("one", 1));
    let metrics = operator.send(Request::get("/metrics").body(body::empty()).unwrap()).await.unwrap();
    let metrics = text(metrics).await;
    let line = "omnirelay_policy_exception_calls_total{endpoint=\"data:http\",exception=\"old-callers\",verdict=\"refused\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    drop(watch);

    let log = tokio::task::spawn_blocking(move || {
        relay_testkit::terminate(relay.child.id());
        let mut log = String::new();
        relay.log.read_to_string(&mut log).unwrap();
        log
    });
    let log = log.await.unwrap();
    let told = |exception: &str| {
        let words = ["refused by the transport policy", exception];
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    assert_eq!((told("old-callers"), told("old-greeter")), (1, 1), "{log}");
}

#[tokio::test]
async fn nobody_reads_the_history_without_a_scope() {
    let ca = TestCa::new();
    let (url, _upstream) = upstream(&ca);
    let relay = Relay::start(&ca, &config(&ca, &url));
    let stranger = channel(&ca, &relay.admin, Protocol::Http2, "spiffe://test/service/caller");
    for path in [relay_core::observe::DOWNGRADE_EVENTS, relay_core::observe::TRANSPORT_STATS] {
        let answer = stranger.send(Request::get(path).body(body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
    }
}
