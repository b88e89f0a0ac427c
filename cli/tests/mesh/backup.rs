//! A store that is copied while it serves and made anew of that copy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::golden::check;
use crate::harness::{Finished, Mesh, cli, eventually, run, up};

/// Restores with the mesh's own meshkitd.
fn restore(mesh: &Mesh, backup: &str, more: &[&str]) -> Finished {
    let config = mesh.path().join("meshkit.toml");
    let args = ["mesh", "restore", backup, "--config", config.to_str().unwrap()];
    let meshkitd = crate::harness::daemon("OMNIRELAY_MESHKITD", "meshkitd");
    run(Command::new(cli()).args(args).args(more).env("OMNIRELAY_MESHKITD", meshkitd).env("USER", "ann"))
}

#[test]
fn a_store_is_copied_while_it_serves_and_restored_when_it_does_not() {
    let mut mesh = Mesh::start();
    let alive = ["mesh", "peers", "list", "--status", "alive", "--output", "json"];
    eventually("all peers register", || {
        (mesh.run(&alive).ok().json()["peers"].as_array().unwrap().len() == 5).then_some(())
    });
    mesh.run(&["mesh", "config", "patch", r#"{"settings":{"kept":"1"}}"#]).ok();
    let file = mesh.dir.path().join("mesh.backup");
    let file = file.to_str().unwrap();
    let taken = mesh.run(&["mesh", "backup", file, "--output", "json"]).ok().json();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(taken["bytes"], fs::metadata(file).unwrap().len());
    let sum = taken["sha256"].as_str().unwrap();
    let again = mesh.run(&["mesh", "backup", file]);
    assert!(again.code == 6 && again.err.contains("there is a file already"), "{}", again.err);
    let nowhere = mesh.run(&["mesh", "backup", "/nowhere/mesh.backup"]);
    assert_eq!(nowhere.code, 9, "{}", nowhere.err);
    mesh.run(&["mesh", "config", "patch", r#"{"settings":{"lost":"1"}}"#]).ok();

    let running = restore(&mesh, file, &["--replace", "--yes"]);
    assert!(running.code != 0 && running.err.contains("in use"), "{}", running.err);
    mesh.signal(Signal::TERM);
    mesh.ended();
    let wrong = restore(&mesh, file, &["--sha256", "00", "--replace", "--yes"]);
    assert!(wrong.code == 6 && wrong.err.contains(sum), "{}", wrong.err);
    let there = restore(&mesh, file, &["--yes"]);
    assert!(there.code == 6 && there.err.contains("there is a file already"), "{}", there.err);
    let dry =
        restore(&mesh, file, &["--replace", "--sha256", sum, "--dry-run", "--output", "json"]).ok().json();
    assert_eq!((&dry["dryRun"], &dry["revision"]), (&true.into(), &taken["revision"]));
    assert!(!fs::exists(dry["aside"].as_str().unwrap()).unwrap());
    // Nobody is at the terminal: it has to be confirmed.
    let unconfirmed = restore(&mesh, file, &["--replace"]);
    assert!(unconfirmed.code == 2 && unconfirmed.err.contains("--dry-run"), "{}", unconfirmed.err);
    let done = restore(&mesh, file, &["--replace", "--yes"]).ok();
    check(&mesh, "restore.err.txt", include_str!("golden/restore.err.txt"), &done.err);
    let aside =
        done.out.lines().find_map(|line| line.trim().strip_prefix("before ")).unwrap().trim().to_owned();
    assert!(fs::metadata(aside).unwrap().len() > 0, "what was there is kept");

    let mut child = up(&mesh.path(), mesh.base_port)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the mesh serves again", || (mesh.run(&alive).code == 0).then_some(()));
    let shown = mesh.run(&["mesh", "config", "show", "--output", "json"]).ok().json();
    assert_eq!(shown["content"]["settings"], serde_json::json!({ "kept": "1" }));
    let audit =
        mesh.run(&["mesh", "audit", "list", "--action", "store.restore", "--output", "json"]).ok().json();
    assert_eq!(audit["entries"][0]["actor"], "local:ann");
    mesh.run(&["mesh", "audit", "verify"]).ok();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
