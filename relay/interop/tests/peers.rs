//! gRPC's interop cases with programs that share no code with us: grpcio over HTTP/2 and aioquic over
//! HTTP/3 against our dispatcher, our client against grpcio's server.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use std::path::PathBuf;
use std::process::Stdio;

use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_interop::interop::Interop;
use relay_interop::{DESCRIPTOR_SET, cases};
use relay_testkit::TestCa;
use support::{Server, soon};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

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

#[tokio::test]
async fn our_client_passes_against_grpcios_server() {
    const SERVER: &str = "grpc_interop_server.py";
    // grpcio does not tell a server whether a message came compressed, which these probe.
    const UNKNOWABLE: [&str; 2] = ["client_compressed_unary", "client_compressed_streaming"];
    if !is_able(SERVER).await {
        return;
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
    let channel = Channel::new(&config).unwrap();
    for case in cases::CASES.into_iter().filter(|case| !UNKNOWABLE.contains(case)) {
        let outcome = soon(case, cases::run(case, channel.clone())).await;
        assert!(outcome.is_ok(), "{case}: {}", outcome.unwrap_err());
    }
    drop(server.stdin.take());
    soon("the server's end", server.wait()).await.unwrap();
}
