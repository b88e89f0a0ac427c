//! How a mesh starts, ends and fails.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::harness::{Mesh, free_ports, is_alive, run, up};

#[test]
fn control_c_drains_in_order_and_leaves_nobody_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut mesh = Mesh::start();
        let processes = mesh.processes();
        assert!(processes.iter().all(|(_, pid)| is_alive(*pid)));
        let began = Instant::now();
        mesh.signal(signal);
        let (status, err) = mesh.ended();
        assert_eq!(status.code(), Some(0), "{err}");
        assert!(began.elapsed() < Duration::from_secs(20), "{err}");
        for (name, pid) in &processes {
            assert!(!is_alive(*pid), "{name} is still there");
            assert!(err.contains(&format!("{name} ended with exit code 0")), "{err}");
        }
        let place = |name: &str| err.find(&format!("{name} ended")).unwrap();
        assert!(place("relay-2") < place("greeter") && place("inventory-1") < place("meshkitd"), "{err}");
    }
}

#[test]
fn a_process_that_dies_takes_the_mesh_down_and_is_named() {
    let mut mesh = Mesh::start();
    let processes = mesh.processes();
    let (_, greeter) = processes.iter().find(|(name, _)| name == "greeter").unwrap();
    kill_process(*greeter, Signal::KILL).unwrap();
    let (status, err) = mesh.ended();
    assert_eq!(status.code(), Some(7), "{err}");
    for words in
        ["error: greeter was ended by signal 9", "log: ", "greeter.log", "relay-1 ended with exit code 0"]
    {
        assert!(err.contains(words), "{words:?} is not in {err}");
    }
    assert!(processes.iter().all(|(_, pid)| !is_alive(*pid)));
}

#[test]
fn a_second_mesh_in_the_same_place_is_refused() {
    let mesh = Mesh::start();
    let second = run(&mut up(&mesh.path(), free_ports()));
    assert_eq!((second.code, second.out.as_str()), (6, ""));
    assert!(
        second.err.contains("another `omnirelay` is using") && second.err.contains("--dir"),
        "{}",
        second.err
    );
    mesh.run(&["mesh", "peers", "list"]).ok();
}

#[test]
fn taken_ports_are_told_before_anything_starts() {
    let temp = tempfile::tempdir().unwrap();
    let base = free_ports();
    let _held = TcpListener::bind(("127.0.0.1", base + 10)).unwrap();
    let refused = run(&mut up(&temp.path().join("mesh"), base));
    assert_eq!((refused.code, refused.out.as_str()), (6, ""));
    for words in
        ["a port of the mesh is taken", &format!("127.0.0.1:{} for relay-1", base + 10), "--base-port"]
    {
        assert!(refused.err.contains(words), "{words:?} is not in {}", refused.err);
    }
}

#[test]
fn a_mesh_starts_again_where_it_stopped() {
    let mut mesh = Mesh::start();
    mesh.signal(Signal::TERM);
    mesh.ended();
    let mut again = up(&mesh.path(), mesh.base_port);
    let mut child =
        again.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    crate::harness::eventually("the mesh answers again", || {
        (mesh.run(&["mesh", "peers", "list", "--status", "alive"]).code == 0).then_some(())
    });
    kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_binary_that_cannot_start_is_named_with_its_words() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("mesh");
    let mut command = up(&dir, free_ports());
    command.env("OMNIRELAY_MESHKITD", "/bin/false");
    let refused = run(&mut command);
    assert_eq!((refused.code, refused.out.as_str()), (7, ""), "{}", refused.err);
    assert!(refused.err.contains("meshkitd ended with exit code 1 before it was ready"), "{}", refused.err);
    command.env("OMNIRELAY_MESHKITD", "/nonexistent/meshkitd");
    let missing = run(&mut command);
    assert_eq!(missing.code, 5, "{}", missing.err);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_mesh_left_behind_is_named() {
    let mut mesh = Mesh::start();
    let processes = mesh.processes();
    mesh.signal(Signal::KILL);
    mesh.ended();
    let again = run(&mut up(&mesh.path(), mesh.base_port));
    for (_, pid) in &processes {
        kill_process(*pid, Signal::KILL).unwrap();
    }
    assert_eq!(again.code, 6, "{}", again.err);
    let kill: Vec<String> = processes.iter().map(|(_, pid)| pid.as_raw_nonzero().to_string()).collect();
    assert!(again.err.contains(&format!("`kill {}`", kill.join(" "))), "{}", again.err);
}

#[test]
fn a_second_signal_ends_what_does_not_drain() {
    let mut mesh = Mesh::start();
    let processes = mesh.processes();
    let (_, relay) = processes.iter().find(|(name, _)| name == "relay-1").unwrap();
    kill_process(*relay, Signal::STOP).unwrap();
    mesh.signal(Signal::INT);
    crate::harness::eventually("the other relay drains", || {
        let (_, other) = processes.iter().find(|(name, _)| name == "relay-2").unwrap();
        (!is_alive(*other)).then_some(())
    });
    mesh.signal(Signal::INT);
    let (status, err) = mesh.ended();
    assert_eq!(status.code(), Some(8), "{err}");
    assert!(err.contains("relay-1 had to be killed"), "{err}");
    assert!(processes.iter().all(|(_, pid)| !is_alive(*pid)));
}
