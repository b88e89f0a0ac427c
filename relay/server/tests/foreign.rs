//! Calls between programs that share no code with the relay, through it: grpcio over HTTP/2 and aioquic over
//! HTTP/3, each on either side.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use http::Request;
use relay_core::{Code, Negotiated, Protocol, Status};
use relay_testkit::{Issued, TestCa};
use relay_transport::{body, respond};
use support::{Relay, server_tls};

/// A program in Python beside this test.
fn script(name: &str) -> Command {
    // Where tools/dev/setup.sh has put the packages, if the machine itself lacks them.
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let own = home.join(".cache/omnirelay/python/bin/python3");
    let mut python = Command::new(if own.exists() { own } else { PathBuf::from("python3") });
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    python.arg(std::env::var_os("FOREIGN_SCRIPTS").map_or(beside, PathBuf::from).join(name));
    python
}

/// A server, ended with its owner.
struct Server {
    child: Child,
    port: String,
    _ends_it: Option<ChildStdin>,
}

impl Server {
    fn start(name: &str, certificate: &Issued) -> Self {
        let mut command = script(name);
        command.arg(&certificate.certificate).arg(&certificate.private_key);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "{name} does not run: `tools/dev/setup.sh` installs what it needs");
        Self { port: port.trim().to_owned(), _ends_it: child.stdin.take(), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn config(ca: &TestCa, port: &str, protocol: &str) -> String {
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
[[outbounds]]
name = "echo"
peers = ["https://localhost:{port}"]
protocols = ["{protocol}"]
tls = {{ ca = {authority:?} }}
[[routes]]
service = "echo"
grpc_services = ["test.Echo"]
outbound = "echo"
"#
    )
}

const CALLS: &str = "unary trailers server-stream client-stream pong-0 pong-1 pong-2 pong-3 pong-4 ping-pong empty-stream fail";

#[track_caller]
fn check(client: &str, server: &str, upstream: &str) {
    assert_eq!(run(client, server, upstream, &[]), CALLS);
}

/// What a client says of calls through a relay.
#[track_caller]
fn run(client: &str, server: &str, upstream: &str, more: &[u32]) -> String {
    let ca = TestCa::new();
    let server = Server::start(server, &ca.issue("spiffe://test/service/echo"));
    let mut relay = Relay::start(&ca, &config(&ca, &server.port, upstream));
    let caller = ca.issue("spiffe://test/service/caller");
    let target = relay.data.replace("https://127.0.0.1", "localhost");
    let mut command = script(client);
    command.arg(target).arg(ca.ca()).arg(&caller.certificate).arg(&caller.private_key);
    command.args(more.iter().map(u32::to_string));
    let output = command.output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "after {said:?}: {wrong}");
    assert_eq!(relay.terminate(), 0);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn http2_to_http2() {
    check("grpc_client.py", "grpc_server.py", "http2");
}

#[test]
fn http2_to_http3() {
    check("grpc_client.py", "http3_server.py", "http3");
}

#[test]
fn http3_to_http2() {
    check("http3_client.py", "grpc_server.py", "http2");
}

#[test]
fn http3_to_http3() {
    check("http3_client.py", "http3_server.py", "http3");
}

/// What breaks off upstream breaks off at the caller with the same meaning, in its protocol's words,
/// and what the caller gives up is given up upstream.
const HTTP2_CODES: [u32; 4] = [0x8, 0xb, 0x2, 0xc];
const HTTP3_CODES: [u32; 3] = [0x10c, 0x107, 0x102];

#[test]
fn resets_from_http2_to_http2() {
    let said = run("grpc_resets.py", "http2_server.py", "http2", &HTTP2_CODES);
    assert_eq!(
        said,
        "CANCELLED CANCELLED RESOURCE_EXHAUSTED RESOURCE_EXHAUSTED INTERNAL INTERNAL \
         PERMISSION_DENIED PERMISSION_DENIED 8"
    );
}

#[test]
fn resets_from_http2_to_http3() {
    let said = run("http3_resets.py", "http2_server.py", "http2", &HTTP2_CODES);
    // The last has no word in HTTP/3.
    let own = Code::PermissionDenied.h3_reset();
    assert_eq!(said, format!("1 {} 8 {} 13 {} 7 {own} 8", 0x10c, 0x107, 0x102));
}

#[test]
fn resets_from_http3_to_http2() {
    let said = run("grpc_resets.py", "http3_server.py", "http3", &HTTP3_CODES);
    assert_eq!(
        said,
        format!("CANCELLED CANCELLED RESOURCE_EXHAUSTED RESOURCE_EXHAUSTED INTERNAL INTERNAL {}", 0x10c)
    );
}

#[test]
fn resets_from_http3_to_http3() {
    let said = run("http3_resets.py", "http3_server.py", "http3", &HTTP3_CODES);
    assert_eq!(said, format!("1 {0} 8 {1} 13 {2} {0}", 0x10c, 0x107, 0x102));
}

/// A gRPC message in its frame.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// Our channel itself, without a relay between: what it says of a call, and the messages and trailers of the answer.
#[tokio::test]
async fn our_channel_to_http3() {
    let ca = TestCa::new();
    let server = Server::start("http3_server.py", &ca.issue("spiffe://test/service/echo"));
    let channel = support::channel(&ca, &format!("https://localhost:{}", server.port), Protocol::Http3);
    let call = async |method: &str, body: Vec<u8>| {
        let request = Request::post(format!("/test.Echo/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-mark", "here")
            .body(body::full(body));
        let answer = channel.send(request.unwrap()).await?;
        let negotiated = *answer.extensions().get::<Negotiated>().unwrap();
        assert_eq!(negotiated, Negotiated { protocol: Protocol::Http3, downgrade: None });
        let (head, body) = answer.into_parts();
        let (messages, trailers) = body::collect_with_trailers(body, 1 << 24).await?;
        Ok::<_, Status>((messages, trailers.unwrap_or(head.headers)))
    };
    // 65 535 bytes with the frame, and one that needs many packets and windows.
    for size in [0, 1, 65_530, 4 << 20] {
        let message = framed(&vec![b'x'; size]);
        let (messages, trailers) = call("Unary", message.clone()).await.unwrap();
        assert!(messages == message, "{size}: {} bytes came back", messages.len());
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-mark"]),
            (&"0".parse().unwrap(), &"here".parse().unwrap())
        );
    }
    let (messages, _) = call("ServerStream", framed(b"abc")).await.unwrap();
    assert_eq!(messages, framed(b"abc").repeat(3));
    let (messages, _) = call("Bidi", [framed(b"a"), framed(b"b")].concat()).await.unwrap();
    assert_eq!(messages, [framed(b"a"), framed(b"b")].concat());
    let (messages, refusal) = call("Fail", framed(b"")).await.unwrap();
    assert!(messages.is_empty());
    let refusal = respond::read_grpc_status(&refusal).unwrap();
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (Code::FailedPrecondition, "not today: 100 % \u{fc}")
    );
    for (code, expected) in
        [(0x10c, Code::Cancelled), (0x107, Code::ResourceExhausted), (0x102, Code::Internal)]
    {
        let reset = call("Reset", [framed(b"a"), framed(i32::to_string(&code).as_bytes())].concat()).await;
        assert_eq!(reset.unwrap_err().code, expected, "{code:#x}");
    }
}
