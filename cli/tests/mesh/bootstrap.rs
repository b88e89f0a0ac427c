//! Joining and leaving a mesh, as operators do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::harness::{Finished, Mesh, cli, eventually, run};

/// Issues a token into a file, and joins by it into a directory.
fn join(mesh: &Mesh, name: &str) -> PathBuf {
    let (file, dir) = (mesh.dir.path().join(format!("{name}.join")), mesh.dir.path().join(name));
    let issue = [
        "mesh",
        "bootstrap",
        "issue-token",
        "--role",
        "operator",
        "--cluster",
        "local",
        "--name",
        name,
        "--out",
    ];
    mesh.run(&[&issue[..], &[file.to_str().unwrap()]].concat()).ok();
    // No context: whoever joins has nothing but the file.
    let args =
        ["mesh", "bootstrap", "join", "--token-file", file.to_str().unwrap(), "--dir", dir.to_str().unwrap()];
    let joined = run(Command::new(cli()).args(args).env("OMNIRELAY_CONTEXT", "/nowhere")).ok();
    assert!(joined.out.contains(&format!("spiffe://omnirelay.dev/operator/local/{name}")), "{}", joined.out);
    dir
}

/// Runs a command with what somebody joined as.
fn as_member(mesh: &Mesh, dir: &Path, args: &[&str]) -> Finished {
    let context = fs::read_to_string(mesh.path().join("cli.toml")).unwrap();
    let rest: String = context
        .lines()
        .filter(|line| {
            !["ca =", "certificate", "private_key", "token_file"].iter().any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let own = dir.join("identity.pem");
    let path = dir.join("cli.toml");
    let ca = dir.join("ca.pem");
    fs::write(&path, format!("ca = {ca:?}\ncertificate = {own:?}\nprivate_key = {own:?}\n{rest}")).unwrap();
    run(Command::new(cli()).args(args).env("OMNIRELAY_CONTEXT", path))
}

const GREET: [&str; 7] =
    ["request", "greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#, "--timeout", "10s"];

#[test]
fn a_member_joins_rotates_and_is_out_of_every_daemon_once_it_is_revoked() {
    let mesh = Mesh::start();
    let (ada, bob) = (join(&mesh, "ada"), join(&mesh, "bob"));
    eventually("relays serve members", || (as_member(&mesh, &ada, &GREET).code == 0).then_some(()));
    as_member(&mesh, &ada, &["mesh", "peers", "list"]).ok();

    // A new key and a new certificate for the same member.
    let before = fs::read_to_string(ada.join("identity.pem")).unwrap();
    mesh.run(&["mesh", "bootstrap", "rotate", "--dir", ada.to_str().unwrap()]).ok();
    let after = fs::read_to_string(ada.join("identity.pem")).unwrap();
    let key = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
    assert!(before != after && key(&before) != key(&after));
    as_member(&mesh, &ada, &["mesh", "peers", "list"]).ok();

    let listed = mesh.run(&["mesh", "bootstrap", "identities", "--output", "json"]).ok().json();
    let counts: Vec<usize> = listed["identities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["certificates"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [2, 1]);

    // Nobody is at the terminal: it has to be confirmed.
    let unconfirmed = mesh.run(&["mesh", "bootstrap", "revoke", "ada"]);
    assert_eq!(unconfirmed.code, 2, "{}", unconfirmed.err);
    let revoked = ["mesh", "bootstrap", "revoke", "ada", "--yes", "--reason", "lost", "--ticket", "T-7"];
    mesh.run(&revoked).ok();
    let began = Instant::now();
    for (daemon, args) in [
        ("meshkitd", &["mesh", "peers", "list"][..]),
        ("relay-1", &GREET),
        ("relay-2", &[&GREET[..], &["--relay", "relay-2"]].concat()),
    ] {
        eventually(&format!("{daemon} refuses"), || (as_member(&mesh, &ada, args).code != 0).then_some(()));
    }
    assert!(began.elapsed().as_secs() < 5, "it took {} ms", began.elapsed().as_millis());
    as_member(&mesh, &bob, &GREET).ok();
    let rotated = mesh.run(&["mesh", "bootstrap", "rotate", "--dir", ada.to_str().unwrap()]);
    assert!(rotated.code != 0 && rotated.err.contains("hint:"), "{}", rotated.err);
    let audit = mesh.run(&["mesh", "audit", "list", "--ticket", "T-7"]).ok();
    assert!(audit.out.contains("identity/ada") && audit.out.contains("revocation/"), "{}", audit.out);
}

#[test]
fn tokens_are_shown_once_and_taken_back() {
    let mesh = Mesh::start();
    let issue =
        ["mesh", "bootstrap", "issue-token", "--role", "relay", "--cluster", "local", "--output", "json"];
    let issued = mesh.run(&issue).ok().json();
    let (id, token) = (issued["joinToken"]["id"].as_str().unwrap(), issued["token"].as_str().unwrap());
    let listed = mesh.run(&["mesh", "bootstrap", "tokens"]).ok();
    assert!(listed.out.contains(id) && !listed.out.contains(token), "{}", listed.out);
    mesh.run(&["mesh", "bootstrap", "withdraw", id]).ok();

    let file = mesh.dir.path().join("token");
    fs::write(&file, token).unwrap();
    let (dir, ca) = (mesh.dir.path().join("late"), mesh.path().join("pki/ca.pem"));
    let url = format!("https://127.0.0.1:{}", mesh.base_port);
    let late = mesh.run(&[
        "mesh",
        "bootstrap",
        "join",
        "--mesh",
        &url,
        "--ca",
        ca.to_str().unwrap(),
        "--name",
        "late",
        "--token-file",
        file.to_str().unwrap(),
        "--dir",
        dir.to_str().unwrap(),
    ]);
    assert_eq!(late.code, 4, "{}", late.err);
    assert!(
        late.err.contains("withdrawn") && late.err.contains("hint:") && !late.err.contains(token),
        "{}",
        late.err
    );
    assert!(!dir.join("identity.pem").exists());
}
