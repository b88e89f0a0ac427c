//! The `relayd` binary as a process of a test's own.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "test support: not every test uses all of it, and it says by panicking what failed"
)]

pub(crate) mod load;

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use http::{Request, Response};
use omnirelay_runtime::{DrainController, Metrics};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_core::introspect::Introspection;
use relay_testkit::TestCa;
use relay_transport::{Body, Listener, ListenerConfig, body};

/// A relay of its own, ended with its owner.
pub(crate) struct Relay {
    pub(crate) child: Child,
    /// The URL of the listener for calls.
    pub(crate) data: String,
    /// The URL of the listener for diagnostics.
    pub(crate) admin: String,
    pub(crate) log: BufReader<std::process::ChildStderr>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The TLS of a relay's listeners, as its configuration writes it.
pub(crate) fn server_tls(ca: &TestCa) -> String {
    let own = ca.issue("spiffe://test/relay/one");
    let (certificate, key, authority) = (own.certificate, own.private_key, ca.ca());
    format!("{{ certificate = {certificate:?}, private_key = {key:?}, client_ca = {authority:?} }}")
}

/// The command that starts a relay with a configuration and overrides of it.
pub(crate) fn relayd(ca: &TestCa, config: &str, sets: &[&str]) -> Command {
    // Of its own: a relay takes over what its file says.
    let folders = (0..).map(|number: u32| ca.dir().join(number.to_string()));
    let folder = folders.take(1000).find(|folder| std::fs::create_dir(folder).is_ok()).unwrap();
    let file = folder.join("relay.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relayd"));
    command.arg("--config").arg(file).args(["--log-format", "json"]).stderr(Stdio::piped());
    for set in sets {
        command.args(["--set", set]);
    }
    command
}

impl Relay {
    /// Starts a relay and waits until it answers.
    pub(crate) fn start(ca: &TestCa, config: &str) -> Self {
        Self::run(&mut relayd(ca, config, &[]))
    }

    /// Runs the command of a relay and waits until it answers.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let (mut data, mut admin) = (String::new(), String::new());
        while !line.contains("\"message\":\"ready\"") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "relayd ended before it was ready");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if event["message"] == "listening" {
                data = event["data"].as_str().unwrap().to_owned();
                admin = event["admin"].as_str().unwrap().to_owned();
            }
        }
        Self { child, data: format!("https://{data}"), admin: format!("https://{admin}"), log }
    }

    /// The next event of the log that is `message`.
    pub(crate) fn logged(&mut self, message: &str) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log has ended without `{message}`");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if event["message"] == message {
                return event;
            }
        }
    }

    /// Asks the relay to end; its exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        relay_testkit::terminate(self.child.id());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("\"message\":\"stopped\""), "{rest}");
        self.child.wait().unwrap().code().unwrap()
    }
}

/// A service for a relay to call, in this process.
pub(crate) struct Upstream {
    pub(crate) url: String,
    _drain: DrainController,
}

impl Upstream {
    pub(crate) fn start<F, A>(ca: &TestCa, answer: F) -> Self
    where
        F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start_at(ca, ([127, 0, 0, 1], 0), answer)
    }

    pub(crate) fn start_at<F, A>(ca: &TestCa, address: ([u8; 4], u16), answer: F) -> Self
    where
        F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = ListenerConfig::new(address, ca.server_tls("spiffe://test/service/up"));
        let listener = Listener::bind("upstream", &listener, &Metrics::default()).unwrap();
        let url = format!("https://{}", listener.local_addr());
        let service = tower::service_fn(move |request| {
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let drain = DrainController::new();
        omnirelay_runtime::spawn("upstream", listener.serve(service, drain.drain()));
        Self { url, _drain: drain }
    }
}

/// A relay with one outbound `up`: its peers, more keys of it, and what follows.
pub(crate) fn config(ca: &TestCa, peers: &[&str], outbound: &str, rest: &str) -> String {
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
name = "up"
peers = {peers:?}
tls = {{ ca = {authority:?} }}
{outbound}
{rest}"#
    )
}

/// A caller's channel over one protocol.
pub(crate) fn channel(ca: &TestCa, url: &str, protocol: Protocol) -> Channel {
    Channel::new(&caller(ca, url, protocol)).unwrap()
}

/// The configuration of a caller's channel over one protocol.
pub(crate) fn caller(ca: &TestCa, url: &str, protocol: Protocol) -> ChannelConfig {
    let mut config = ChannelConfig::new(url, ca.client_tls(Some("spiffe://test/service/caller")));
    config.protocols = vec![protocol];
    config
}

/// A small call of YARPC over HTTP.
pub(crate) fn call(service: &str, procedure: &str, message: &'static str) -> Request<Body> {
    let request =
        Request::post("/yarpc/v1").header("rpc-service", service).header("rpc-procedure", procedure);
    let request = request.header("rpc-encoding", "json").header("content-length", message.len());
    request.body(body::full(message)).unwrap()
}

pub(crate) async fn text(response: Response<Body>) -> String {
    String::from_utf8(body::collect_limited(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// What an operator asks the admin listener for.
pub(crate) async fn ask(ca: &TestCa, relay: &Relay, path: &str) -> String {
    let config = ChannelConfig::new(relay.admin.as_str(), ca.client_tls(Some("spiffe://test/operator/me")));
    let operator = Channel::new(&config).unwrap();
    text(operator.send(Request::get(path).body(body::empty()).unwrap()).await.unwrap()).await
}

pub(crate) async fn introspection(ca: &TestCa, relay: &Relay) -> Introspection {
    serde_json::from_str(&ask(ca, relay, "/omnirelay/introspect").await).unwrap()
}
