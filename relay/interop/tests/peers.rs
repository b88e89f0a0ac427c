//! gRPC's interop cases with programs that share no code with us: grpcio over HTTP/2 and aioquic over
//! HTTP/3 against our dispatcher, our client against grpcio's server.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::stream;
use relay_client::{Channel, ChannelConfig, KeepAlive};
use relay_core::Protocol;
use relay_interop::interop::Interop;
use relay_interop::testing::{ResponseParameters, StreamingOutputCallRequest, TestServiceClient};
use relay_interop::{DESCRIPTOR_SET, cases};
use relay_rpc::Client;
use relay_testkit::TestCa;
use support::{Server, soon};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

/// A script; Bazel names their folder, and under cargo it is beside this file.
fn script(name: &str) -> PathBuf {
    let folder = std::env::var_os("GRPC_INTEROP").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients")),
        |path| std::env::current_dir().unwrap().join(path),
    );
    folder.join(name)
}

fn python(name: &str) -> Command {
    let mut command = Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    command.arg(script(name)).kill_on_drop(true);
    command
}

/// Whether its libraries are there: they are in Bazel's root, and may not be on a developer's machine.
async fn is_able(name: &str) -> bool {
    python(name).status().await.unwrap().success() || std::env::var_os("TEST_SRCDIR").is_some()
}

#[tokio::test]
async fn every_case_passes_with_grpcio_over_http2() {
    every_case_passes_with("grpc_interop.py").await;
}

#[tokio::test]
async fn every_case_passes_with_aioquic_over_http3() {
    every_case_passes_with("grpc_interop_http3.py").await;
}

async fn every_case_passes_with(client: &str) {
    if !is_able(client).await {
        return;
    }
    let server = Server::start(Interop::dispatcher().unwrap());
    let descriptors = server.ca.dir().join("descriptors.bin");
    std::fs::write(&descriptors, DESCRIPTOR_SET).unwrap();
    let target = server.url.replace("https://", "");
    let running = python(client)
        .arg(target)
        .arg(server.ca.ca())
        .arg(descriptors)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let ran = soon("the client's end", running).await.unwrap();
    let (said, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{log}");
    for case in cases::CASES {
        assert!(said.contains(&format!("ok {case}\n")), "{case} did not run\n{said}");
    }
}

/// grpcio's server with a channel to it over HTTP/2.
struct Grpcio {
    _ca: TestCa,
    server: tokio::process::Child,
    channel: Channel,
}

impl Grpcio {
    /// Nothing where its libraries are missing.
    async fn start(keep_alive: KeepAlive) -> Option<Self> {
        const SERVER: &str = "grpc_interop_server.py";
        if !is_able(SERVER).await {
            return None;
        }
        let ca = TestCa::new();
        let issued = ca.issue("spiffe://test/server/grpcio");
        let descriptors = ca.dir().join("descriptors.bin");
        std::fs::write(&descriptors, DESCRIPTOR_SET).unwrap();
        let mut server = python(SERVER)
            .args([issued.certificate, issued.private_key, descriptors])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = soon("the server's port", lines.next_line()).await.unwrap().unwrap();
        let mut config = ChannelConfig::new(format!("https://localhost:{port}"), ca.client_tls(None));
        config.protocols = vec![Protocol::Http2];
        config.keep_alive = keep_alive;
        let channel = Channel::new(&config).unwrap();
        Some(Self { _ca: ca, server, channel })
    }

    async fn end(mut self) {
        drop(self.server.stdin.take());
        soon("the server's end", self.server.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn our_client_passes_against_grpcios_server() {
    // grpcio does not tell a server whether a message came compressed, which these probe.
    const UNKNOWABLE: [&str; 2] = ["client_compressed_unary", "client_compressed_streaming"];
    let Some(grpcio) = Grpcio::start(KeepAlive::default()).await else { return };
    for case in cases::CASES.into_iter().filter(|case| !UNKNOWABLE.contains(case)) {
        let outcome = soon(case, cases::run(case, grpcio.channel.clone())).await;
        assert!(outcome.is_ok(), "{case}: {}", outcome.unwrap_err());
    }
    grpcio.end().await;
}

#[tokio::test]
async fn a_quiet_stream_to_grpcios_server_lives_on() {
    let pinged = KeepAlive { http2_ping_after: Duration::from_secs(1), ..KeepAlive::default() };
    let (kept, ended) = tokio::join!(quiet_stream(KeepAlive::default()), quiet_stream(pinged));
    assert!(kept.is_none_or(|lived| lived), "the server ended the stream");
    // grpcio's server says "too_many_pings" to the fourth PING while it has nothing to send.
    assert!(ended.is_none_or(|lived| !lived), "the server does not mind: this test shows nothing");
}

/// Whether a stream lives on that is quiet for as long as four of the kernel's probes take.
async fn quiet_stream(keep_alive: KeepAlive) -> Option<bool> {
    let grpcio = Grpcio::start(keep_alive).await?;
    let client = TestServiceClient::new(Client::new(grpcio.channel.clone()).caller("interop"));
    let (send, receive) = mpsc::channel(1);
    let requests =
        stream::unfold(receive, |mut receive| async move { Some((receive.recv().await?, receive)) });
    let ask = || StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters { size: 1, ..ResponseParameters::default() }],
        ..StreamingOutputCallRequest::default()
    };
    send.send(ask()).await.unwrap();
    let mut answers = soon("the call", client.full_duplex_call(requests)).await.unwrap();
    assert!(soon("an answer", answers.message()).await.unwrap().is_some());
    let quiet = 4 * KeepAlive::default().probe_every + Duration::from_secs(2);
    if tokio::time::timeout(quiet, answers.message()).await.is_ok() {
        return Some(false);
    }
    send.send(ask()).await.unwrap();
    assert!(soon("an answer", answers.message()).await.unwrap().is_some());
    drop(send);
    assert!(soon("the end", answers.message()).await.unwrap().is_none());
    grpcio.end().await;
    Some(true)
}
