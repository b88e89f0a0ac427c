//! Start, refusal to start, drain, restart and sudden death.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::process::Command;

use meshkit_client::{PeerFilter, Registration, RegistrationState, v1};
use omnirelay_runtime::DrainController;
use relay_core::Protocol;
use support::{Ask, Bench, DEADLINE, OBSERVER, READER, bytes, eventually, peer};

#[tokio::test]
async fn ready_answers_and_drains() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    assert_eq!(meshkitd.ready["service"], "meshkitd");
    assert!(meshkitd.ready["startup_ms"].as_f64().unwrap() > 0.0);
    for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
        let channel = bench.channel(&meshkitd, protocol, None);
        let health = Ask::get(&channel, "/healthz").send().await;
        assert_eq!((health.status.as_u16(), health.text.as_str()), (200, "{\"status\":\"ok\"}"));
        eventually("ready", async || Ask::get(&channel, "/readyz").send().await.status == 200).await;
    }
    let (code, stdout) = meshkitd.terminate();
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
}

/// Starting fails with an exit code and one error with a cause or place, and a hint.
#[track_caller]
fn check(bench: &Bench, args: &[&str], code: i32, words: &[&str]) {
    let before = bytes(&bench.store);
    let output = bench.refused(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let errors = stderr.lines().filter(|line| line.starts_with("error:"));
    assert_eq!(errors.count(), 1, "{stderr}");
    for word in words.iter().chain(&["hint:"]) {
        assert!(stderr.contains(word), "{word} is missing in:\n{stderr}");
    }
    assert!(!stderr.contains("panic"), "{stderr}");
    assert_eq!(output.stdout, b"", "standard output is silent");
    assert_eq!(bytes(&bench.store), before, "the store was touched");
}

#[test]
fn bad_configuration_is_refused() {
    let bench = Bench::new("colour = \"red\"");
    check(&bench, &[], 3, &["colour", "meshkit.toml:"]);
    let bench = Bench::new("");
    let set = |set: &'static str| ["--set", set];
    check(&bench, &set("registry.dead_after_ms=1"), 3, &["dead_after_ms", "where:"]);
    check(&bench, &set("kind=relay"), 3, &["`kind` is `relay`"]);
    let several = ["--set", "kind=relay", "--set", "node.name=UPPER"];
    check(&bench, &several, 3, &["2 problems", "`kind` is `relay`", "UPPER"]);
    check(&bench, &set("listener.tls.certificate=/nowhere.pem"), 3, &["/nowhere.pem", "cause:"]);
    check(&bench, &set("store.path=/nowhere/mesh.db"), 9, &["/nowhere/mesh.db", "cause:"]);
    assert!(!bench.store.exists(), "nothing was written for a start that failed");
}

#[test]
fn a_taken_port_is_refused_and_the_store_left_alone() {
    let bench = Bench::new("");
    bench.start(&[]).terminate();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("listener.address={:?}", taken.local_addr().unwrap().to_string());
    check(&bench, &["--set", &set], 9, &["cannot listen on", "cause:"]);
}

#[test]
fn a_damaged_store_is_refused_untouched() {
    let bench = Bench::new("");
    bench.start(&[]).terminate();
    let good = bytes(&bench.store);
    let mut bad = good.clone();
    // The second page holds records of the store itself; damage in unused space is none.
    bad[4_096..8_192].fill(0xAA);
    for bad in [bad, good[..good.len() / 2].to_vec(), b"not a database".to_vec()] {
        std::fs::write(&bench.store, bad).unwrap();
        check(&bench, &[], 3, &["the store", "cause:", "mesh.db"]);
    }
}

#[tokio::test]
async fn a_log_whose_file_is_gone_is_not_thrown_away() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    client.register(peer("greeter-1", "greeter")).await.unwrap();
    meshkitd.kill();
    let (log, good) = (bytes(&bench.log_of_store()), bytes(&bench.store));
    assert!(!log.is_empty(), "what was acknowledged last is in the log");
    std::fs::write(&bench.store, b"").unwrap();
    check(&bench, &[], 3, &["the store is damaged", "the file is empty", "mesh.db-wal is there"]);
    std::fs::remove_file(&bench.store).unwrap();
    check(&bench, &[], 3, &["the store is damaged", "the file is gone", "mesh.db-wal is there"]);
    assert_eq!(bytes(&bench.log_of_store()), log, "the log was touched");
    std::fs::write(&bench.store, good).unwrap();
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    assert_eq!(client.get_peer("greeter-1").await.unwrap().value.service, "greeter");
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let bench = Bench::new("");
    bench.start(&[]).terminate();
    std::fs::set_permissions(&bench.store, std::fs::Permissions::from_mode(0o444)).unwrap();
    let plain = bench.command(&[]);
    let may_write = std::fs::File::options().append(true).open(&bench.store).is_ok();
    let mut command = if may_write {
        // Root may write whatever it likes, unless it gives that up.
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(plain.get_program());
        command.args(plain.get_args());
        command
    } else {
        plain
    };
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(9), "{stderr}");
    assert!(stderr.contains("the store cannot be written") && stderr.contains("hint:"), "{stderr}");
}

#[tokio::test]
async fn a_store_that_is_damaged_while_it_serves_ends_the_daemon() {
    let bench = Bench::new("");
    let mut meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    client.register(peer("p1", "greeter")).await.unwrap();
    let foreign = rusqlite::Connection::open(&bench.store).unwrap();
    foreign.execute("UPDATE records SET value = '{broken' WHERE kind = 'peer'", []).unwrap();
    drop(foreign);
    // Reads come from memory; the first write that meets the record finds the damage.
    let _refused = client.heartbeat("p1", true).await;
    let code = tokio::task::spawn_blocking(move || (meshkitd.ended(), meshkitd));
    let (code, meshkitd) = code.await.unwrap();
    assert_eq!(code, Some(3));
    let said = meshkitd.log();
    for words in ["the store is damaged", "mesh.db", "cause:", "hint:"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[test]
fn a_store_in_use_is_refused() {
    let bench = Bench::new("");
    let _first = bench.start(&[]);
    check(&bench, &[], 6, &["in use by another meshkitd", "process"]);
}

#[test]
fn the_command_line_is_checked() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_meshkitd")).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, version) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert_eq!(version, format!("meshkitd {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(run(&[]), (Some(2), String::new()));
    assert_eq!(run(&["--config", "x", "--module", "dance"]), (Some(2), String::new()));
}

#[tokio::test]
async fn records_survive_a_restart_and_a_kill() {
    let bench = Bench::new("");
    let ids = async |meshkitd: &support::Meshkitd| {
        let client = bench.client(meshkitd, Protocol::Http3, READER);
        let peers = client.peers(PeerFilter::default()).await.unwrap().value;
        peers.into_iter().map(|peer| peer.id).collect::<Vec<_>>()
    };
    let mut expected = Vec::new();
    for round in 0..4 {
        let meshkitd = bench.start(&[]);
        assert_eq!(ids(&meshkitd).await, expected);
        let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
        for n in 0..5 {
            let id = format!("p{round}-{n}");
            client.register(peer(&id, "greeter")).await.unwrap();
            expected.push(id);
        }
        // The last acknowledgement has just come: killed right now, nothing may be missing.
        if round % 2 == 0 {
            meshkitd.kill();
        } else {
            assert_eq!(meshkitd.terminate().0, Some(0));
            assert!(!bench.log_of_store().exists(), "a clean end leaves one file");
        }
    }
    assert_eq!(ids(&bench.start(&[])).await, expected);
}

#[tokio::test]
async fn a_registration_outlives_the_control_plane() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&["--set", "registry.heartbeat_interval_ms=50"]);
    let address = format!("listener.address={:?}", meshkitd.address.to_string());
    let client = bench.client_as(&meshkitd, "spiffe://omnirelay.dev/service/greeter-1");
    let drain = DrainController::new();
    let registration = Registration::new(client, peer("greeter-1", "greeter"));
    let mut handle = registration.spawn(drain.drain());
    let registered = tokio::time::timeout(DEADLINE, handle.registered()).await;
    assert!(registered.unwrap(), "{:?}", handle.state());

    meshkitd.kill();
    let failing = async || matches!(handle.state(), RegistrationState::Failing(_));
    eventually("the control plane is missed", failing).await;
    // It comes back without memory: the peer has to register again.
    for suffix in ["", "-wal", "-shm"] {
        let mut path = bench.store.clone().into_os_string();
        path.push(suffix);
        let _missing = std::fs::remove_file(path);
    }
    let meshkitd = bench.start(&["--set", "registry.heartbeat_interval_ms=50", "--set", &address]);
    let reader = bench.client(&meshkitd, Protocol::Http2, READER);
    eventually("registered again", async || reader.get_peer("greeter-1").await.is_ok()).await;
    eventually("well again", async || handle.state() == RegistrationState::Registered).await;

    drain.start();
    assert_eq!(drain.finished(DEADLINE).await, 0);
    assert_eq!(handle.state(), RegistrationState::Ended);
    let left = reader.get_peer("greeter-1").await.unwrap().value;
    assert_eq!(left.status(), v1::PeerStatus::Left);
}
