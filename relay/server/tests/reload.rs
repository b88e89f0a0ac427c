//! The `relayd` binary while its configuration changes: by an operator, by SIGHUP, by files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use omnirelay_runtime::reload::{CONFIG, ConfigStatus, Outcome, RELOAD, Reload, Trigger};
use omnirelay_runtime::{STARTUP, StartupReport};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, ConnInfo, RemoteAddress, body};
use support::load::Load;
use support::{Relay, Upstream, ask, call, channel, introspection, server_tls, text};

/// A relay's configuration whose operator may operate: what stands before the outbounds, and after.
fn config(ca: &TestCa, before: &str, peers: &[&str], after: &str) -> String {
    let (tls, authority) = (server_tls(ca), ca.ca());
    format!(
        r#"kind = "relay"
node = {{ name = "one" }}
{before}
[data]
address = "127.0.0.1:0"
tls = {tls}
[admin]
address = "127.0.0.1:0"
tls = {tls}
[auth]
identities = [
  {{ spiffe = "spiffe://test/operator/*", scope = "mesh.operate" }},
  {{ spiffe = "spiffe://test/observer", scope = "mesh.observe" }},
]
[[outbounds]]
name = "up"
peers = {peers:?}
tls = {{ ca = {authority:?} }}
{after}"#
    )
}

const ROUTE: &str = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";

/// Where the configuration of an authority's first relay is.
fn folder(ca: &TestCa) -> PathBuf {
    ca.dir().join("0")
}

fn write(ca: &TestCa, text: &str) {
    let file = folder(ca).join("relay.toml");
    std::fs::write(file.with_extension("new"), text).unwrap();
    std::fs::rename(file.with_extension("new"), file).unwrap();
}

/// An answer of diagnostics, asked for by somebody.
async fn asked(
    ca: &TestCa,
    relay: &Relay,
    who: &str,
    method: Method,
    path: &str,
    content: &'static str,
) -> Response<Body> {
    let config = ChannelConfig::new(relay.admin.as_str(), ca.client_tls(Some(who)));
    let mut request = Request::new(body::full(content));
    (*request.method_mut(), *request.uri_mut()) = (method, path.parse().unwrap());
    Channel::new(&config).unwrap().send(request).await.unwrap()
}

const OPERATOR: &str = "spiffe://test/operator/me";

async fn reload(ca: &TestCa, relay: &Relay) -> (StatusCode, Reload) {
    let answer = asked(ca, relay, OPERATOR, Method::POST, RELOAD, "").await;
    let status = answer.status();
    (status, serde_json::from_str(&text(answer).await).unwrap())
}

async fn status(ca: &TestCa, relay: &Relay) -> ConfigStatus {
    serde_json::from_str(&ask(ca, relay, CONFIG).await).unwrap()
}

/// Answers, and remembers the addresses that it was called from.
fn upstream(ca: &TestCa) -> (Upstream, Arc<Mutex<HashSet<SocketAddr>>>) {
    let seen = Arc::<Mutex<HashSet<SocketAddr>>>::default();
    let callers = Arc::clone(&seen);
    let upstream = Upstream::start(ca, move |request: Request<Body>| {
        if let RemoteAddress::Inet(address) = request.extensions().get::<ConnInfo>().unwrap().remote {
            callers.lock().unwrap().insert(address);
        }
        let slow = request.headers()["rpc-procedure"] == "slow";
        async move {
            if slow {
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            }
            Response::new(body::full("fine"))
        }
    });
    (upstream, seen)
}

/// The value of a metric.
fn metric(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).trim().parse().unwrap()
}

/// One of several configurations that differ in everything that can change while running.
fn version(ca: &TestCa, number: u64, peers: &[&str]) -> String {
    let odd = number % 2;
    let peers = if number.is_multiple_of(3) { &peers[..1] } else { peers };
    let strategy = ["two-choices", "round-robin", "fewest-pending"][usize::try_from(number % 3).unwrap()];
    // Its start and its end are heard, and nobody reads its log between.
    let level =
        if number.is_multiple_of(100) { "info" } else { ["warn", "error"][usize::try_from(odd).unwrap()] };
    let before = format!(
        "rpc_path = \"/yarpc/v1\"\nlog = {{ filter = \"{level}\" }}\n\
         [[policy.exceptions]]\nname = \"n{odd}\"\nscope = \"data:http\"\ntransports = [\"http1\"]\n\
         reason = \"r\"\napprover = \"a\"\nexpires = \"2099-01-0{}T00:00:00Z\"\n",
        odd + 1
    );
    let after = format!(
        "timeout_ms = {}\nbalance = {{ strategy = \"{strategy}\" }}\noutliers = {{ base_ms = {} }}\n\
         [[routes]]\nservice = \"other{odd}\"\nrespond = {{ code = \"ok\", body = \"{number}\" }}\n\
         {ROUTE}limits = {{ max_pending = {} }}\n",
        20_000 + number,
        1_000 + number,
        100 + number
    );
    let limits = format!(
        "[data.limits]\nmax_requests_in_flight = {}\nidle_timeout_ms = {}\n",
        500 + number,
        30_000 + number
    );
    config(ca, &before, peers, &after).replace("[admin]\n", &format!("{limits}[admin]\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_lose_no_call_and_no_connection() {
    let ca = TestCa::new();
    let ((first, callers), (second, _)) = (upstream(&ca), upstream(&ca));
    let peers = [first.url.as_str(), second.url.as_str()];
    let mut relay = Relay::start(&ca, &version(&ca, 0, &peers));
    let load = Load::start(&ca, &relay, &[Protocol::Http1, Protocol::Http2, Protocol::Http3]);
    load.more(60).await;
    let connections = |metrics: &str| {
        Protocol::ALL.map(|one| {
            let labels = format!("{{listener=\"data\",protocol=\"{one}\"}}");
            metric(metrics, &format!("omnirelay_listener_connections_total{labels}"))
        })
    };
    let before = connections(&ask(&ca, &relay, "/metrics").await);
    for number in 1..=100 {
        // Issues the relay's certificate anew, so that it rotates with every one of them.
        write(&ca, &version(&ca, number, &peers));
        let (status, reload) = reload(&ca, &relay).await;
        assert_eq!((status, reload.outcome), (StatusCode::OK, Outcome::Applied), "{reload:?}");
        assert_eq!((reload.generation, reload.by.as_deref()), (number + 1, Some(OPERATOR)));
        let changed = |key: &str| reload.changed.iter().any(|changed| changed == key);
        for key in ["outbounds.0.timeout_ms", "log.filter", "data.limits.idle_timeout_ms"] {
            assert!(changed(key), "{key}: {reload:?}");
        }
        load.more(5).await;
    }
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    assert_eq!(text(caller.send(call("other0", "p", "{}")).await.unwrap()).await, "100");
    let metrics = ask(&ca, &relay, "/metrics").await;
    assert_eq!(metric(&metrics, "omnirelay_config_reloads_total{outcome=\"applied\"}"), 100);
    // By the reloads, or by the watch of the files before one of them.
    let rotated = metrics
        .lines()
        .filter(|line| line.starts_with("omnirelay_tls_reloads_total") && line.contains("loaded"));
    let rotated: u64 = rotated.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert!(rotated >= 100, "{rotated} rotations");
    assert_eq!(metric(&metrics, "omnirelay_config_generation"), 101);
    let after = connections(&metrics);
    // The last caller is new. A client of HTTP/1.1 opens another connection where its own is only just coming back.
    assert_eq!([after[0] - 1, after[1]], before[..2], "no connection to the relay has ended");
    assert!(
        after[2] - before[2] < 10,
        "{before:?} were opened before a hundred reloads, {after:?} after them"
    );
    let called_from = callers.lock().unwrap().len();
    assert!(called_from <= 8, "the connections to a peer that stayed were kept, and it saw {called_from}");
    load.end().await;
    let shown = introspection(&ca, &relay).await;
    assert_eq!(shown.outbounds[0].peers.len(), 2, "the hundredth has both");
    assert_eq!(tokio::task::spawn_blocking(move || relay.terminate()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_line_and_the_relay_goes_on() {
    let ca = TestCa::new();
    let (up, _) = upstream(&ca);
    let good = config(&ca, "", &[&up.url], ROUTE);
    let relay = Relay::start(&ca, &good);
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    let line = |text: &str, start: &str| 1 + text.lines().position(|line| line.starts_with(start)).unwrap();
    let nowhere = "/nowhere.pem";
    let cases = [
        (
            good.replace("outbound = ", "outbuond = "),
            Outcome::Refused,
            "outbuond",
            "did you mean `outbound`?",
        ),
        (
            good.replace("service = \"s\"", "service = \"\""),
            Outcome::Refused,
            "service",
            "name the `Rpc-Service`",
        ),
        (good.replacen("127.0.0.1:0", "127.0.0.1:1", 1), Outcome::Refused, "address", "restart the daemon"),
        (
            good.replace(
                "tls = { ca = ",
                &format!("tls = {{ certificate = {nowhere:?}, private_key = {nowhere:?}, ca = "),
            ),
            Outcome::RolledBack,
            "tls = { certificate = \"/nowhere.pem",
            "check the path",
        ),
    ];
    for (number, (broken, outcome, start, hint)) in cases.iter().enumerate() {
        write(&ca, broken);
        let (status, reload) = reload(&ca, &relay).await;
        assert_eq!((status, reload.outcome), (StatusCode::UNPROCESSABLE_ENTITY, *outcome), "{reload:?}");
        let problem = &reload.problems[0];
        let place = format!("relay.toml:{}", line(broken, start));
        assert!(problem.location.as_ref().unwrap().ends_with(&place), "{number}: {problem:?}, not {place}");
        assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem:?}");
        assert_eq!(text(caller.send(call("s", "p", "{}")).await.unwrap()).await, "fine");
        assert_eq!(self::status(&ca, &relay).await.history.last(), Some(&reload));
    }
    // Several unknown keys are told at once.
    write(&ca, &good.replace("outbound = ", "outbuond = ").replace("name = \"up\"", "nmae = \"up\""));
    let (_, reload_of_two) = reload(&ca, &relay).await;
    assert!(reload_of_two.problems.len() >= 2, "{reload_of_two:?}");

    write(&ca, &good);
    let (_, unchanged) = reload(&ca, &relay).await;
    assert_eq!((unchanged.outcome, unchanged.generation), (Outcome::Unchanged, 1), "{unchanged:?}");
    let told = status(&ca, &relay).await;
    assert_eq!((told.generation, told.history.len()), (1, 7));
    assert_eq!(told.history[0].trigger, Trigger::Start);
    assert!(told.sources[0].ends_with("relay.toml") && told.reloadable.contains(&"routes".to_owned()));
}

#[tokio::test]
async fn a_signal_and_files_that_change_are_read_as_well() {
    let ca = TestCa::new();
    let (up, _) = upstream(&ca);
    let body = |text: &str| {
        format!("{ROUTE}[[routes]]\nservice = \"t\"\nrespond = {{ code = \"ok\", body = \"{text}\" }}\n")
    };
    let mut relay = Relay::start(&ca, &config(&ca, "", &[&up.url], &body("zero")));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    write(&ca, &config(&ca, "", &[&up.url], &body("one")));
    relay_testkit::hang_up(relay.child.id());
    let event = relay.logged("configuration read");
    assert_eq!((&event["trigger"], &event["outcome"]), (&"signal".into(), &"applied".into()), "{event}");
    assert_eq!(text(caller.send(call("t", "p", "{}")).await.unwrap()).await, "one");
    // As Kubernetes changes a ConfigMap: a link leads to another folder.
    swap(&folder(&ca), "v1", &config(&ca, "", &[&up.url], &body("two")));
    std::fs::remove_file(folder(&ca).join("relay.toml")).unwrap();
    std::os::unix::fs::symlink("..data/relay.toml", folder(&ca).join("relay.toml")).unwrap();
    let event = relay.logged("configuration read");
    assert_eq!((&event["trigger"], &event["outcome"]), (&"file".into(), &"applied".into()), "{event}");
    swap(&folder(&ca), "v2", &config(&ca, "", &[&up.url], &body("three")));
    let event = relay.logged("configuration read");
    assert_eq!(event["trigger"], "file", "{event}");
    assert_eq!(text(caller.send(call("t", "p", "{}")).await.unwrap()).await, "three");
}

/// Leads the link `..data` to a new folder with the text.
fn swap(dir: &Path, version: &str, text: &str) {
    let folder = dir.join(format!("..{version}"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("relay.toml"), text).unwrap();
    std::os::unix::fs::symlink(format!("..{version}"), dir.join("..tmp")).unwrap();
    std::fs::rename(dir.join("..tmp"), dir.join("..data")).unwrap();
}

#[tokio::test]
async fn a_peer_that_is_taken_away_finishes_its_calls() {
    let ca = TestCa::new();
    let ((old, _), (new, _)) = (upstream(&ca), upstream(&ca));
    let relay = Relay::start(&ca, &config(&ca, "", &[&old.url], ROUTE));
    let caller = channel(&ca, &relay.data, Protocol::Http2);
    let slow = caller.clone();
    let slow = omnirelay_runtime::spawn("slow", async move {
        text(slow.send(call("s", "slow", "{}")).await.unwrap()).await
    });
    while introspection(&ca, &relay).await.outbounds[0].peers[0].pending == 0 {}
    write(&ca, &config(&ca, "", &[&new.url], ROUTE));
    assert_eq!(reload(&ca, &relay).await.1.outcome, Outcome::Applied);
    assert_eq!(text(caller.send(call("s", "p", "{}")).await.unwrap()).await, "fine");
    let peers = &introspection(&ca, &relay).await.outbounds[0].peers;
    assert_eq!((peers.len(), peers[0].url.as_str(), peers[0].calls), (1, new.url.as_str(), 1));
    assert_eq!(slow.await.unwrap(), "fine");
}

#[tokio::test]
async fn operators_see_and_say_what_is_logged_and_nobody_else_does() {
    let ca = TestCa::new();
    let (up, _) = upstream(&ca);
    let mut relay = Relay::start(&ca, &config(&ca, "log = { filter = \"info\" }", &[&up.url], ROUTE));
    let log = "/omnirelay/control/log";
    for who in ["spiffe://test/observer", "spiffe://test/service/caller"] {
        for (method, path) in
            [(Method::PUT, log), (Method::POST, RELOAD), (Method::POST, "/omnirelay/control/drain")]
        {
            let refused = asked(&ca, &relay, who, method, path, "{\"filter\":\"off\"}").await;
            assert_eq!(refused.status(), 403, "{who} {path}");
        }
    }
    assert_eq!(asked(&ca, &relay, "spiffe://test/observer", Method::GET, log, "").await.status(), 200);
    assert_eq!(
        asked(&ca, &relay, OPERATOR, Method::PUT, log, "{\"filter\":\"relay=loud\"}").await.status(),
        400
    );
    let set =
        asked(&ca, &relay, OPERATOR, Method::PUT, log, "{\"filter\":\"info,relay_server=debug\"}").await;
    assert_eq!(text(set).await, "{\"filter\":\"info,relay_server=debug\",\"set_by\":\"operator\"}");
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    assert_eq!(caller.send(call("nobody", "p", "{}")).await.unwrap().status(), 501);
    let refused = relay.logged("refused");
    assert_eq!(refused["code"], "unimplemented", "{refused}");
    // The configuration's own change takes over.
    write(&ca, &config(&ca, "log = { filter = \"warn\" }", &[&up.url], ROUTE));
    assert_eq!(reload(&ca, &relay).await.1.changed[0], "log.filter");
    assert_eq!(ask(&ca, &relay, log).await, "{\"filter\":\"warn\",\"set_by\":\"configuration\"}");
    let report: StartupReport = serde_json::from_str(&ask(&ca, &relay, STARTUP).await).unwrap();
    let steps: Vec<&str> = report.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["process", "configuration", "outbounds", "listeners", "services", "serving"]);
    let sum: u64 = report.steps.iter().map(|step| step.took_us).sum();
    assert!(sum <= report.ready_us.unwrap() && report.environment.cpus > 0, "{report:?}");
}

#[tokio::test]
async fn a_drain_that_is_asked_for_says_so_until_the_last_call_has_ended() {
    let ca = TestCa::new();
    let (up, _) = upstream(&ca);
    let mut relay = Relay::start(&ca, &config(&ca, "", &[&up.url], ROUTE));
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    let slow = omnirelay_runtime::spawn("slow", async move {
        text(caller.send(call("s", "slow", "{}")).await.unwrap()).await
    });
    while introspection(&ca, &relay).await.outbounds[0].peers[0].pending == 0 {}
    let asked_for = asked(&ca, &relay, OPERATOR, Method::POST, "/omnirelay/control/drain", "").await;
    assert_eq!(asked_for.status(), StatusCode::ACCEPTED);
    relay.logged("draining");
    // A new connection, as a probe of Kubernetes makes it.
    let ready = asked(&ca, &relay, "spiffe://test/service/caller", Method::GET, "/readyz", "").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(ready).await, "draining\n");
    assert_eq!(slow.await.unwrap(), "fine");
    relay.logged("stopped");
    assert_eq!(relay.child.wait().unwrap().code(), Some(0));
}
