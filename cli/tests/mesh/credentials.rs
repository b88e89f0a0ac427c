//! Who may.

use std::fs;
use std::process::Command;

use crate::harness::{Finished, Mesh, cli, run};

/// Runs a command with a context that knows a token and no certificate.
fn with_token(mesh: &Mesh, token: &str, args: &[&str]) -> Finished {
    let file = mesh.dir.path().join("some.token");
    fs::write(&file, token).unwrap();
    let context = fs::read_to_string(mesh.path().join("cli.toml")).unwrap();
    let context: String = context
        .lines()
        .filter(|line| !["certificate", "private_key", "token_file"].iter().any(|key| line.starts_with(key)))
        .map(|line| format!("{line}\n"))
        .collect();
    let path = mesh.dir.path().join("token.toml");
    fs::write(&path, format!("token_file = {file:?}\n{context}")).unwrap();
    run(Command::new(cli()).args(args).env("OMNIRELAY_CONTEXT", path))
}

#[test]
fn tokens_open_what_their_scope_allows_and_nothing_else() {
    let mesh = Mesh::start();
    let secret = |name: &str| fs::read_to_string(mesh.path().join("tokens").join(name)).unwrap();
    for args in [&["mesh", "peers", "list"][..], &["mesh", "shards", "list"], &["introspect"]] {
        with_token(&mesh, &secret("operator.token"), args).ok();
        let reader = with_token(&mesh, &secret("reader.token"), args);
        // Diagnostics need more than reading the mesh does.
        assert_eq!(reader.code, if args == ["introspect"] { 4 } else { 0 }, "{args:?}: {}", reader.err);
        let wrong = with_token(&mesh, "wr0ng-and-never-shown", args);
        assert_eq!((wrong.code, wrong.out.as_str()), (4, ""), "{args:?}: {}", wrong.err);
        assert!(wrong.err.contains("unauthenticated") || wrong.err.contains("token"), "{}", wrong.err);
        assert!(wrong.err.contains("hint:"), "{}", wrong.err);
        assert!(!wrong.err.contains("wr0ng"), "{}", wrong.err);
    }
}

#[test]
fn a_token_counts_before_the_certificate() {
    let mesh = Mesh::start();
    let context = fs::read_to_string(mesh.path().join("cli.toml")).unwrap();
    let token = mesh.path().join("tokens/operator.token").display().to_string();
    let path = mesh.dir.path().join("both.toml");
    for (file, code, words) in [
        (mesh.path().join("tokens/reader.token"), 4, "mesh.observe"),
        (mesh.path().join("pki/ca.pem"), 3, "token_file"),
        ("/nowhere/token".into(), 3, "/nowhere/token"),
    ] {
        let other = context.replace(&token, &file.display().to_string());
        assert_ne!(other, context);
        fs::write(&path, other).unwrap();
        let refused = run(Command::new(cli()).arg("introspect").env("OMNIRELAY_CONTEXT", &path));
        assert_eq!(refused.code, code, "{}", refused.err);
        assert!(refused.err.contains(words) && refused.err.contains("hint:"), "{}", refused.err);
    }
}

#[test]
fn calls_need_a_certificate_and_carry_no_token() {
    let mesh = Mesh::start();
    let secret = fs::read_to_string(mesh.path().join("tokens/operator.token")).unwrap();
    for protocol in ["http1", "http2", "http3", "auto"] {
        let args = ["request", "greeter", "Greeter::Greet", "--timeout", "10s", "--protocol", protocol];
        let refused = with_token(&mesh, &secret, &args);
        assert_eq!((refused.code, refused.out.as_str()), (7, ""), "{protocol}: {}", refused.err);
        assert!(refused.err.to_lowercase().contains("certificate"), "{protocol}: {}", refused.err);
        assert!(!refused.err.contains(secret.trim()), "{protocol}: {}", refused.err);
    }
}

#[test]
fn another_authority_is_not_believed() {
    let mesh = Mesh::start();
    let other = mesh.dir.path().join("other");
    let base = mesh.base_port.to_string();
    let init = ["dev", "init", "--dir", other.to_str().unwrap(), "--base-port", &base];
    run(Command::new(cli()).args(init)).ok();
    let context = other.join("cli.toml");
    let refused = run(Command::new(cli()).args(["mesh", "peers", "list"]).env("OMNIRELAY_CONTEXT", context));
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("hint:") && refused.out.is_empty(), "{}", refused.err);
}

#[test]
fn a_context_goes_by_its_name_and_gets_its_token_from_a_program() {
    let mesh = Mesh::start();
    let contexts = mesh.dir.path().join("contexts.toml");
    let run = |args: &[&str]| run(Command::new(cli()).args(args).env("OMNIRELAY_CONTEXTS", &contexts));
    let token = mesh.path().join("tokens/reader.token");
    let (from, cat) = (mesh.path().join("cli.toml"), format!("cat {}", token.display()));
    let from = ["context", "set", "here", "--from", from.to_str().unwrap()];
    run(&[&from[..], &["--unset", "certificate", "--token-command", &cat]].concat()).ok();
    run(&["context", "set", "away", "--mesh", "https://127.0.0.1:1"]).ok();
    // The first one is in use; another one goes by its name.
    run(&["mesh", "peers", "list"]).ok();
    assert_eq!(run(&["introspect"]).code, 4, "a reader may not");
    assert_eq!(run(&["--context", "away", "mesh", "peers", "list"]).code, 7);
    run(&["context", "use", "away"]).ok();
    assert_eq!(run(&["mesh", "peers", "list"]).code, 7);
    run(&["--context", "here", "mesh", "peers", "list"]).ok();
    let secret = fs::read_to_string(token).unwrap();
    for shown in
        [run(&["context", "show", "here", "--output", "yaml"]), run(&["context", "list", "--output", "wide"])]
    {
        assert!(!shown.out.contains(secret.trim()) && shown.out.contains("cat"), "{}", shown.out);
    }
    run(&["context", "set", "here", "--token-command", "false"]).ok();
    let failed = run(&["--context", "here", "mesh", "peers", "list"]);
    assert!(failed.code == 3 && failed.err.contains("`false` gives no token"), "{}", failed.err);
}
