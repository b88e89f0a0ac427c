//! The `relayd` binary while another one takes its place.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use relay_client::Channel;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, body};
use support::load::{self, Load};
use support::{Relay, Upstream, ask, caller, channel, config, relayd, server_tls};
use tokio::sync::mpsc;

/// How often the binary is replaced under load.
const TIMES: usize = 10;

const ROUTE: &str = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\ntimeout_ms = 60000\n";

/// Relays that can take over from each other, before an upstream that echoes.
struct Mesh {
    ca: TestCa,
    config: String,
    socket: PathBuf,
    _upstream: Upstream,
}

impl Mesh {
    fn new() -> Self {
        let ca = TestCa::new();
        let upstream = Upstream::start(&ca, |request: Request<Body>| async move {
            if request.headers()["rpc-procedure"] == "echo" {
                return Response::new(request.into_body());
            }
            Response::new(body::full("fine"))
        });
        let socket = ca.dir().join("takeover");
        let rest = format!("{ROUTE}[takeover]\nsocket = {socket:?}\n");
        let config = config(&ca, &[&upstream.url], "timeout_ms = 60000", &rest);
        Self { ca, config, socket, _upstream: upstream }
    }

    /// Another relay with the same configuration, once it is ready.
    fn start(&self) -> Relay {
        Relay::start(&self.ca, &self.config)
    }

    /// One that has to fail: its exit code, and what it says.
    fn fail(&self, sets: &[&str]) -> (i32, String) {
        let failed = relayd(&self.ca, &self.config, sets).output().unwrap();
        (failed.status.code().unwrap(), String::from_utf8(failed.stderr).unwrap())
    }

    async fn metric(&self, relay: &Relay, name: &str) -> u64 {
        let metrics = ask(&self.ca, relay, "/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).trim().parse().unwrap()
    }

    fn begin(&self) -> Taker {
        Taker(UnixStream::connect(&self.socket).unwrap())
    }
}

/// Somebody who asks for the sockets of a relay.
struct Taker(UnixStream);

impl Taker {
    fn say(&mut self, message: &str) {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.0.write_all(&length).unwrap();
        self.0.write_all(message.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> serde_json::Value {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.0.read_exact(&mut message).unwrap();
        serde_json::from_slice(&message).unwrap()
    }

    /// Gets an offer, whose descriptors the kernel throws away.
    fn ask(mut self) -> Self {
        self.say(r#"{"is":"hello","version":1,"service":"relayd"}"#);
        assert_eq!(self.hear()["is"], "offer");
        self
    }
}

/// The old one ends by itself, and well.
fn ended(mut old: Relay) {
    old.logged("draining: another process goes on");
    old.logged("stopped");
    assert_eq!(old.child.wait().unwrap().code(), Some(0));
}

/// Calls in a loop that may not fail, until it is over.
struct Loop {
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Loop {
    fn new() -> Self {
        Self { over: Arc::default(), rounds: Arc::default(), tasks: Vec::new() }
    }

    fn run<F>(&mut self, once: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (over, rounds) = (Arc::clone(&self.over), Arc::clone(&self.rounds));
        self.tasks.push(omnirelay_runtime::spawn("loop", async move {
            while !over.load(Relaxed) {
                once().await;
                rounds.fetch_add(1, Relaxed);
            }
        }));
    }

    /// Calls that each have a connection of their own.
    fn call_anew(&mut self, mesh: &Mesh, relay: &Relay, protocols: &[Protocol]) {
        for protocol in protocols {
            let config = caller(&mesh.ca, &relay.data, *protocol);
            self.run(move || {
                let channel = Channel::new(&config).unwrap();
                async move { load::one(&channel).await }
            });
        }
    }

    async fn end(self) -> u64 {
        self.over.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.rounds.load(Relaxed)
    }
}

/// A call whose body goes out in pieces and comes back in pieces, for a second.
async fn stream(channel: Channel) {
    let (pieces, body) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body = StreamBody::new(futures_util::stream::poll_fn({
        let mut body = body;
        move |cx| body.poll_recv(cx)
    }));
    let request = Request::post("/yarpc/v1").header("rpc-service", "s").header("rpc-procedure", "echo");
    let request = request.header("rpc-encoding", "raw").body(body::boxed(body)).unwrap();
    let writing = omnirelay_runtime::spawn("pieces", async move {
        for number in 0..40_u8 {
            if pieces.send(Ok(Frame::data(vec![number; 4096].into()))).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    let answer = channel.send(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let echoed = answer.into_body().collect().await.unwrap().to_bytes();
    writing.await.unwrap();
    assert_eq!(echoed.len(), 40 * 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_the_binary_is_replaced_ten_times() {
    let mesh = Mesh::new();
    let mut relay = mesh.start();
    let all = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
    let kept = Load::start(&mesh.ca, &relay, &all);
    let (mut anew, mut streams) = (Loop::new(), Loop::new());
    anew.call_anew(&mesh, &relay, &all);
    for protocol in all {
        let kept = channel(&mesh.ca, &relay.data, protocol);
        streams.run(move || stream(kept.clone()));
    }
    let mut forwarded = 0;
    let mut olds = Vec::new();
    for _ in 0..TIMES {
        kept.more(60).await;
        let new = mesh.start();
        assert_eq!((&new.data, &new.admin), (&relay.data, &relay.admin));
        assert_eq!(ask(&mesh.ca, &new, "/readyz").await, "ready\n");
        let sent = "omnirelay_listener_forwarded_batches_total{listener=\"data\",outcome=\"sent\"}";
        forwarded += mesh.metric(&relay, sent).await;
        olds.push(std::mem::replace(&mut relay, new));
    }
    kept.more(60).await;
    kept.end().await;
    let (anew, streams) = (anew.end().await, streams.end().await);
    assert!(anew > 30 && streams > 3, "{anew} connections, {streams} streams");
    assert!(forwarded > 0, "connections of QUIC have gone on in the old processes");
    tokio::task::spawn_blocking(|| olds.into_iter().for_each(ended)).await.unwrap();
    assert_eq!(relay.terminate(), 0);
    assert!(!mesh.socket.exists(), "the last one takes its socket with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_that_does_not_come_to_its_end_leaves_the_old_one_serving() {
    let mesh = Mesh::new();
    let mut relay = mesh.start();
    let all = [Protocol::Http1, Protocol::Http2, Protocol::Http3];
    let kept = Load::start(&mesh.ca, &relay, &all);
    let mut anew = Loop::new();
    anew.call_anew(&mesh, &relay, &all);

    // It cannot start.
    let (code, said) = mesh.fail(&["admin.tls.certificate=\"/nowhere.pem\""]);
    assert!(code == 3 && said.contains("/nowhere.pem"), "{code} {said}");
    relay.logged("the new process has not taken over; this one goes on");
    kept.more(60).await;

    // It is killed while it starts: it waits for a file.
    let fifo = mesh.ca.dir().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let set = format!("admin.tls.certificate={fifo:?}");
    let mut starting = relayd(&mesh.ca, &mesh.config, &[&set]).spawn().unwrap();
    let mut log = BufReader::new(starting.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("sockets received")));
    kept.more(60).await;
    relay_testkit::kill(starting.id());
    starting.wait().unwrap();
    relay.logged("the new process has not taken over; this one goes on");
    kept.more(60).await;

    // It is gone before it serves, and as soon as it serves.
    for last in ["", r#"{"is":"serving"}"#] {
        let mut taker = mesh.begin().ask();
        taker.say(r#"{"is":"ready","estates":[]}"#);
        assert_eq!(taker.hear()["is"], "paused");
        if !last.is_empty() {
            taker.say(last);
        }
        drop(taker);
        relay.logged("the new process has not taken over; this one goes on");
        kept.more(60).await;
    }

    kept.end().await;
    assert!(anew.end().await > 30);
    assert_eq!(mesh.metric(&relay, "omnirelay_takeovers_total{outcome=\"gave-up\"}").await, 4);
    ended(std::mem::replace(&mut relay, mesh.start()));
    assert_eq!(relay.terminate(), 0);
}

/// The commands that the page for operators quotes, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_replace_a_relay() {
    let mesh = Mesh::new();
    let page = include_str!("../../../docs/operations/restart.md");
    let quoted = page.lines().filter_map(|line| line.strip_prefix("relayd "));
    let mut running: Vec<Relay> = Vec::new();
    for arguments in quoted {
        let arguments = arguments.split('#').next().unwrap().split_whitespace();
        let whole = relayd(&mesh.ca, &mesh.config, &[]);
        let file = whole.get_args().nth(1).unwrap().to_owned();
        let mut command = Command::new(whole.get_program());
        command.args(arguments.map(|argument| match argument {
            "relay.toml" => file.clone(),
            other => other.into(),
        }));
        command.args(["--log-format", "json"]).stderr(std::process::Stdio::piped());
        running.push(Relay::run(&mut command));
    }
    assert_eq!(running.len(), 2);
    ended(running.remove(0));
    assert_eq!(running.remove(0).terminate(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_or_comes_second_is_refused_and_told_why() {
    let mesh = Mesh::new();
    let mut relay = mesh.start();
    assert_eq!(std::fs::metadata(&mesh.socket).unwrap().permissions().mode() & 0o777, 0o600);
    for (junk, why) in [
        ("nonsense", "no message"),
        (r#"{"is":"paused"}"#, "out of turn"),
        (r#"{"is":"hello","version":2,"service":"relayd"}"#, "version 2 was asked for"),
        (r#"{"is":"hello","version":1,"service":"meshkitd"}"#, "meshkitd asks"),
    ] {
        let mut taker = mesh.begin();
        taker.say(junk);
        let refused = taker.hear();
        assert_eq!(refused["is"], "refused");
        assert!(refused["why"].as_str().unwrap().contains(why), "{refused}");
        relay.logged("a takeover is refused");
    }
    let mut endless = mesh.begin();
    endless.0.write_all(&[0xff; 100]).unwrap();
    assert_eq!(endless.hear()["is"], "refused");
    relay.logged("a takeover is refused");

    let first = mesh.begin().ask();
    let (code, said) = mesh.fail(&[]);
    assert!(code == 6 && said.contains("another process is taking over at this moment"), "{code} {said}");
    assert!(said.contains("hint:"), "{said}");
    drop(first);
    relay.logged("the new process has not taken over; this one goes on");
    assert_eq!(ask(&mesh.ca, &relay, "/readyz").await, "ready\n");
    assert_eq!(mesh.metric(&relay, "omnirelay_takeovers_total{outcome=\"refused\"}").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_configuration_says_counts() {
    let mut mesh = Mesh::new();
    let file = mesh.ca.dir().join("data");
    let tls = server_tls(&mesh.ca);
    let unix = format!("[data]\naddress = \"unix:{}\"\n", file.display());
    let inet = format!("[data]\naddress = \"127.0.0.1:0\"\ntls = {tls}\n");
    let with_inet = mesh.config.clone();
    mesh.config = mesh.config.replace(&inet, &unix);
    assert_ne!(mesh.config, with_inet);
    let answers = || {
        let mut socket = UnixStream::connect(&file).unwrap();
        socket.write_all(b"GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 4"), "{said}");
    };

    let first = mesh.start();
    answers();
    let second = Relay::run(&mut relayd(&mesh.ca, &mesh.config, &["data.socket_mode=\"0660\""]));
    ended(first);
    answers();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o660);

    // Elsewhere, so that the old address is given up.
    mesh.config = with_inet;
    let mut third = mesh.start();
    assert_eq!(third.admin, second.admin);
    ended(second);
    assert!(!file.exists(), "nobody listens there");
    load::one(&channel(&mesh.ca, &third.data, Protocol::Http3)).await;
    assert_eq!(third.terminate(), 0);
}
