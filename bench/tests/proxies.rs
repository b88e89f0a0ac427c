//! The comparison of proxies, with the relay alone: it is whole, says what fails, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The measurement, on one core, as a test's machine may have no other.
fn comparison(relayd: &Path, arguments: &[&str]) -> Command {
    let named =
        std::env::var_os("CARGO_BIN_EXE_omnirelay-bench").map(|path| std::path::absolute(path).unwrap());
    let mut command = Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_omnirelay-bench").into()));
    command.args([
        "--output",
        "json",
        "proxies",
        "--only",
        "relayd",
        "--proxy-core",
        "0",
        "--load-core",
        "0",
    ]);
    command.arg("--relayd").arg(relayd).args(arguments).stdin(Stdio::null());
    command
}

/// The relay that a variable names, or else the one that cargo built beside the measurement.
fn relayd() -> PathBuf {
    if let Some(path) = std::env::var_os("OMNIRELAY_RELAYD") {
        return std::path::absolute(path).unwrap();
    }
    let path = Path::new(env!("CARGO_BIN_EXE_omnirelay-bench")).with_file_name("relayd");
    assert!(path.is_file(), "there is no {}; first run: cargo build --bins", path.display());
    path
}

#[test]
fn every_row_has_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let short = ["--seconds", "0.3", "--rounds", "1", "--rate", "100", "--idle", "100", "--write"];
    let output = comparison(&relayd(), &short).arg(&page).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = outcome["results"].as_array().unwrap();
    let rows: Vec<&str> = results.iter().map(|cell| cell["row"].as_str().unwrap()).collect();
    assert_eq!(rows, ["http1", "http2", "grpc", "http3"], "{complaint}");
    for cell in results {
        for column in ["cpu_us", "busy", "calls_per_second", "resident", "idle_resident", "handshakes"] {
            assert!(cell[column].as_f64().is_some_and(|value| value > 0.0), "{column} of {cell}");
        }
        // What is added may be less than what the machine's own work takes from the other.
        for column in ["added_p50_us", "added_p99_us"] {
            assert!(cell[column].is_number(), "{column} of {cell}");
        }
    }
    let page = std::fs::read_to_string(page).unwrap();
    for title in ["HTTP/1.1", "HTTP/2", "gRPC", "HTTP/3"] {
        // A table of ratios and five of figures.
        assert_eq!(page.matches(&format!("\n| {title} |")).count(), 6, "{page}");
    }
    assert!(page.contains("[[outbounds]]") && page.contains("relayd "), "{page}");
}

#[test]
fn a_proxy_that_does_not_answer_is_told_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("relayd");
    let script = "#!/bin/sh\n[ \"$1\" != --version ] || { echo relayd 1.0; exit; }\necho 'the roof is on fire' >&2\nexit 1\n";
    std::fs::write(&broken, script).unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = comparison(&broken, &["--seconds", "0.1", "--rounds", "1"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        complaint.contains("relayd does not answer") && complaint.contains("the roof is on fire"),
        "{complaint}"
    );
}

#[test]
fn an_interrupted_measurement_ends_what_it_started() {
    let mut child = comparison(&relayd(), &["--seconds", "60"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.contains("HTTP/1.1")), "it ended before its first step");
    let started = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    assert!(!started.trim().is_empty());
    relay_testkit::terminate(child.id());
    assert!(told.any(|line| line.contains("interrupted")));
    assert!(!child.wait().unwrap().success());
    for process in started.split_whitespace() {
        assert!(!Path::new("/proc").join(process).exists(), "{process} goes on");
    }
}
