//! gRPC's interop cases: grpcio, which shares no code with us, against our dispatcher over HTTP/2.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use std::path::PathBuf;
use std::process::Stdio;

use relay_interop::interop::Interop;
use relay_interop::{DESCRIPTOR_SET, cases};
use support::{Server, soon};
use tokio::process::Command;

/// The script; Bazel names it, and under cargo it is beside this file.
fn script() -> PathBuf {
    std::env::var_os("GRPC_INTEROP").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/grpc_interop.py")),
        |path| std::env::current_dir().unwrap().join(path),
    )
}

fn python() -> Command {
    let mut command = Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    command.arg(script()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn every_case_passes_with_grpcio_over_http2() {
    let able = python().status().await.unwrap();
    // Bazel's root has grpcio; a developer's machine may not.
    if !able.success() && std::env::var_os("TEST_SRCDIR").is_none() {
        return;
    }
    let server = Server::start(Interop::dispatcher().unwrap());
    let descriptors = server.ca.dir().join("descriptors.bin");
    std::fs::write(&descriptors, DESCRIPTOR_SET).unwrap();
    let target = server.url.replace("https://", "");
    let running = python()
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
