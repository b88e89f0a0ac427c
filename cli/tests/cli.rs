//! The command line without a mesh: what it prints, where, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn omnirelay() -> Command {
    let named = std::env::var_os("CARGO_BIN_EXE_omnirelay").map(|path| std::path::absolute(path).unwrap());
    let binary = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_omnirelay")));
    let mut command = Command::new(binary);
    command.env_remove("OMNIRELAY_CONTEXT").env("NO_COLOR", "1").stdin(Stdio::null());
    command.env("OMNIRELAY_CONTEXTS", "/nonexistent/contexts.toml");
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    finish(omnirelay().args(args).output().unwrap())
}

fn finish(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn the_version_is_that_of_the_crate() {
    let (code, out, err) = run(&["--version"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, concat!("omnirelay ", env!("CARGO_PKG_VERSION"), "\n"), "")
    );
}

#[test]
fn usage_errors_are_told_on_standard_error_with_code_two() {
    for args in [&["reqest"][..], &["request"], &["request", "a", "b", "--timeout", "2"]] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(
            err.starts_with("error: ") && err.contains("hint: ") && err.contains("--help"),
            "{args:?}: {err}"
        );
    }
    for args in [&[][..], &["mesh"]] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains("Usage: ") && err.contains("Commands:"), "{args:?}: {err}");
        let named = finish(omnirelay().args(args).env("OMNIRELAY_CONTEXT", "cli.toml").output().unwrap());
        assert_eq!(named.2, err, "a named context changes no help");
    }
    let (code, out, err) = run(&["mesh", "peers", "list", "--role", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!((code, out.as_str(), error["error"]["kind"].as_str()), (2, "", Some("usage")));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = run(&["completion", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("introspect"), "{shell}");
    }
}

#[test]
fn a_missing_context_says_how_to_get_one() {
    let temp = tempfile::tempdir().unwrap();
    let output = omnirelay().args(["introspect"]).env("XDG_STATE_HOME", temp.path()).output().unwrap();
    let (code, out, err) = finish(output);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("there is no context file") && err.contains("omnirelay up"), "{err}");

    let output = omnirelay()
        .args(["introspect", "--output", "json"])
        .env("OMNIRELAY_CONTEXT", "/nonexistent/cli.toml")
        .output()
        .unwrap();
    let (code, _, err) = finish(output);
    let error: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!((code, error["error"]["kind"].as_str()), (3, Some("config")));
}

#[test]
fn a_call_over_http3_alone_that_nothing_answers_suspects_udp() {
    let temp = tempfile::tempdir().unwrap();
    let context = temp.path().join("cli.toml");
    std::fs::write(&context, "mesh = \"https://localhost\"\n").unwrap();
    // Takes every datagram and answers none, as a firewall does.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let relay = format!("https://{}", silent.local_addr().unwrap());
    let ask = |protocol: &str| {
        let mut command = omnirelay();
        command.args(["request", "greeter", "Greeter::Hello", "--relay", &relay, "--timeout", "500ms"]);
        finish(command.args(["--protocol", protocol]).env("OMNIRELAY_CONTEXT", &context).output().unwrap())
    };
    let (code, out, err) = ask("http3");
    // No connection, or on a busy machine no answer: which of them is first does not matter.
    assert!((7..=8).contains(&code) && out.is_empty(), "{code} {err}");
    assert!(err.contains("UDP may be blocked") && err.contains("--protocol http2"), "{err}");
    // Nothing listens on TCP either, which is another matter.
    assert!(!ask("http2").2.contains("UDP may be blocked"));
}

#[test]
fn configurations_are_validated_from_files_and_standard_input() {
    let temp = tempfile::tempdir().unwrap();
    let mesh = temp.path().join("mesh");
    let (code, out, err) = run(&["dev", "init", "--dir", mesh.to_str().unwrap(), "--base-port", "9000"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("https://127.0.0.1:9010"), "{out}");
    for file in ["meshkit.toml", "relay-1.toml", "relay-2.toml"] {
        let file = mesh.join(file);
        let (code, out, err) = run(&["mesh", "config", "validate", file.to_str().unwrap()]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("ratio 0.00"), "{out}");
    }

    let broken = std::fs::read_to_string(mesh.join("relay-1.toml")).unwrap().replace("[admin]", "[admni]");
    let mut child = omnirelay()
        .args(["mesh", "config", "validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(broken.as_bytes()).unwrap();
    let (code, out, err) = finish(child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (3, ""));
    let line = broken.lines().position(|line| line == "[admni]").unwrap() + 1;
    for words in ["unknown key `admni`", &format!(":{line}\n"), "did you mean `admin`?"] {
        assert!(err.contains(words), "{words:?} is not in {err}");
    }

    let file = mesh.join("relay-1.toml");
    let args =
        ["mesh", "config", "validate", file.to_str().unwrap(), "--set", "node.name=X", "--output", "json"];
    let (code, out, err) = run(&args);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str(), &document["valid"]), (3, "", &serde_json::Value::Bool(false)));
    assert_eq!(document["problems"][0]["kind"], "config");
}

#[test]
fn an_environment_meant_for_daemons_does_not_change_the_verdict() {
    let temp = tempfile::tempdir().unwrap();
    let mesh = temp.path().join("mesh");
    run(&["dev", "init", "--dir", mesh.to_str().unwrap()]);
    let file = mesh.join("relay-1.toml");
    let output = omnirelay()
        .args(["mesh", "config", "validate", file.to_str().unwrap()])
        .env("OMNIRELAY__NODE__NAME", "Not A Name")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = omnirelay()
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let (code, _, err) = finish(child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn directories_of_others_are_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("thesis.tex"), "years of work").unwrap();
    let (code, out, err) = run(&["dev", "init", "--dir", temp.path().to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (6, ""));
    assert!(err.contains("thesis.tex") && err.contains("hint:"), "{err}");
}
