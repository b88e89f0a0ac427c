//! A real meshkitd on real sockets, and the words to talk to it.

pub mod cut;
pub mod etcd;
pub mod events;
pub mod joining;
pub mod relay;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use meshkit_client::{Credentials, MeshClient, v1};
use relay_client::{Channel, ChannelConfig};
use relay_core::{Negotiated, Protocol};
use relay_testkit::TestCa;
use relay_transport::body;
use sha2::{Digest as _, Sha256};

/// How long anything that has to come may take to come.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const ADMIN: &str = "admin-token";
pub const OPERATOR: &str = "operator-token";
pub const OBSERVER: &str = "observer-token";
pub const READER: &str = "reader-token";

/// An authority, a folder and a configuration.
pub struct Bench {
    pub ca: TestCa,
    pub config: PathBuf,
    pub store: PathBuf,
}

impl Bench {
    /// `extra` is TOML behind the usual configuration.
    pub fn new(extra: &str) -> Self {
        Self::of(TestCa::new(), extra)
    }

    /// As [`Bench::new`], by an authority that is there already.
    pub fn of(ca: TestCa, extra: &str) -> Self {
        Self::made(ca, None, extra)
    }

    /// As [`Bench::new`], with other lines below `[store]`.
    pub fn with_store(store: &str, extra: &str) -> Self {
        Self::made(TestCa::new(), Some(store), extra)
    }

    fn made(ca: TestCa, lines: Option<&str>, extra: &str) -> Self {
        let issued = ca.issue("spiffe://omnirelay.dev/meshkit/meshkit-1");
        let (config, store) = (ca.dir().join("meshkit.toml"), ca.dir().join("mesh.db"));
        let lines = lines.map_or_else(|| format!("path = {store:?}"), ToOwned::to_owned);
        let token = |name: &str, token: &str, scope: &str| {
            let hash = Sha256::digest(token.as_bytes());
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("  {{ name = {name:?}, sha256 = {hex:?}, scope = {scope:?} }},\n")
        };
        let text = format!(
            "kind = \"meshkit\"\n\
             [node]\nname = \"meshkit-1\"\n\
             [listener]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificate = {:?}, private_key = {:?}, client_ca = {:?} }}\n\
             [store]\n{lines}\n\
             [auth]\nidentities = [\n  \
             {{ spiffe = \"spiffe://omnirelay.dev/operator/*\", scope = \"mesh.operate\" }},\n  \
             {{ spiffe = \"spiffe://omnirelay.dev/service/*\", scope = \"mesh.observe\" }},\n]\n\
             tokens = [\n{}{}{}{}]\n{extra}\n",
            issued.certificate,
            issued.private_key,
            ca.ca(),
            token("admin", ADMIN, "mesh.admin"),
            token("operator", OPERATOR, "mesh.operate"),
            token("observer", OBSERVER, "mesh.observe"),
            token("reader", READER, "mesh.read"),
        );
        std::fs::write(&config, text).unwrap();
        Self { ca, config, store }
    }

    /// The store's write-ahead log.
    pub fn log_of_store(&self) -> PathBuf {
        let mut path = self.store.clone().into_os_string();
        path.push("-wal");
        path.into()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshkitd"));
        command
            .arg("--config")
            .arg(&self.config)
            .args(["--log-format", "json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts meshkitd and waits until it is ready.
    pub fn start(&self, args: &[&str]) -> Meshkitd {
        let mut child = self.command(args).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if line.contains("\"message\":\"ready\"") {
                    let _gone = tell.send(line.clone());
                }
                log.lock().unwrap().push(line);
            }
        });
        let Ok(ready) = told.recv_timeout(DEADLINE) else {
            let _gone = child.kill();
            panic!("not ready:\n{}", lines.lock().unwrap().join("\n"));
        };
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        Meshkitd { address: ready["address"].as_str().unwrap().parse().unwrap(), ready, child, lines }
    }

    /// Starts meshkitd where it cannot start, and gives what it said.
    pub fn refused(&self, args: &[&str]) -> Output {
        let child = self.command(args).spawn().unwrap();
        let id = child.id();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(child.wait_with_output().unwrap()));
        told.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            relay_testkit::kill(id);
            panic!("it went on running");
        })
    }

    pub fn channel(&self, meshkitd: &Meshkitd, protocol: Protocol, spiffe: Option<&str>) -> Channel {
        let endpoint = format!("https://{}", meshkitd.address);
        let mut config = ChannelConfig::new(endpoint, self.ca.client_tls(spiffe));
        config.protocols = vec![protocol];
        Channel::new(&config).unwrap()
    }

    /// An SDK client with a token.
    pub fn client(&self, meshkitd: &Meshkitd, protocol: Protocol, token: &str) -> MeshClient {
        MeshClient::new(self.channel(meshkitd, protocol, None), Credentials::token(token))
    }

    /// An SDK client with a certificate.
    pub fn client_as(&self, meshkitd: &Meshkitd, spiffe: &str) -> MeshClient {
        let channel = self.channel(meshkitd, Protocol::Http3, Some(spiffe));
        MeshClient::new(channel, Credentials::none())
    }
}

/// A running meshkitd; killed when it is dropped.
pub struct Meshkitd {
    pub address: SocketAddr,
    pub ready: serde_json::Value,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Meshkitd {
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// SIGTERM; gives the exit code and what stood on standard output.
    pub fn terminate(mut self) -> (Option<i32>, String) {
        relay_testkit::terminate(self.child.id());
        let code = self.ended();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        (code, stdout)
    }

    /// Waits until it ends by itself; gives the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < DEADLINE, "it does not end:\n{}", self.log());
            std::thread::yield_now();
        };
        status.code()
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        relay_testkit::pause(self.child.id());
    }

    /// SIGCONT.
    pub fn resume(&self) {
        relay_testkit::resume(self.child.id());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Meshkitd {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
        if std::thread::panicking() {
            // Shown with the test that failed.
            let mut stderr = std::io::stderr();
            let _closed = std::io::Write::write_all(&mut stderr, self.log().as_bytes());
        }
    }
}

/// A REST answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub protocol: Protocol,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn etag(&self) -> &str {
        self.headers["etag"].to_str().unwrap()
    }

    /// Status, and the problem's code where it is one.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16());
        assert!(document["hint"].is_string(), "{document}");
        (self.status.as_u16(), document["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A REST request in the making.
pub struct Ask {
    channel: Channel,
    request: http::request::Builder,
}

impl Ask {
    pub fn new(channel: &Channel, method: Method, path: &str) -> Self {
        Self { channel: channel.clone(), request: Request::builder().method(method).uri(path) }
    }

    pub fn get(channel: &Channel, path: &str) -> Self {
        Self::new(channel, Method::GET, path)
    }

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub async fn send(self) -> Answer {
        self.body(body::empty()).await
    }

    /// Status and headers alone, for answers that never end.
    pub async fn head(self) -> (u16, http::HeaderMap) {
        let response = self.channel.send(self.request.body(body::empty()).unwrap()).await.unwrap();
        (response.status().as_u16(), response.headers().clone())
    }

    pub async fn json(self, json: &serde_json::Value) -> Answer {
        let ask = self.header("content-type", "application/json");
        ask.body(body::full(json.to_string())).await
    }

    /// The headers that answer a gRPC call with an empty message.
    pub async fn grpc(self) -> http::HeaderMap {
        let ask = self.header("content-type", "application/grpc").header("te", "trailers");
        let request = ask.request.body(body::full(vec![0; 5])).unwrap();
        ask.channel.send(request).await.unwrap().headers().clone()
    }

    async fn body(self, body: relay_transport::Body) -> Answer {
        let response = self.channel.send(self.request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body::collect_limited(body, 1 << 22).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            protocol: parts.extensions.get::<Negotiated>().unwrap().protocol,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// A service's peer.
pub fn peer(id: &str, service: &str) -> v1::Peer {
    v1::Peer {
        id: id.to_owned(),
        role: "service".to_owned(),
        service: service.to_owned(),
        cluster: "local".to_owned(),
        version: "0.1.0".to_owned(),
        endpoints: vec![v1::Endpoint {
            url: "https://127.0.0.1:9443".to_owned(),
            protocols: vec!["http3".to_owned(), "http2".to_owned()],
        }],
        ..v1::Peer::default()
    }
}

/// Asks again and again until the answer is yes.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The bytes of a file, empty where there is none.
pub fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}
