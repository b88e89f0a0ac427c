//! Several meshes in one file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a command with this file of contexts; gives exit code, standard output and standard error.
fn run(file: &Path, args: &[&str]) -> (i32, String, String) {
    let named = std::env::var_os("CARGO_BIN_EXE_omnirelay").map(|path| std::path::absolute(path).unwrap());
    let binary = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_omnirelay")));
    let mut command = Command::new(binary);
    command.args(args).env_remove("OMNIRELAY_CONTEXT").env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.env("OMNIRELAY_CONTEXTS", file).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn ok(file: &Path, args: &[&str]) -> String {
    let (code, out, err) = run(file, args);
    assert_eq!(code, 0, "{args:?}: {err}");
    out
}

#[test]
fn contexts_are_set_used_shown_and_forgotten() {
    let temp = tempfile::tempdir().unwrap();
    // A directory that nobody made yet.
    let file = temp.path().join("config/contexts.toml");
    let (code, out, _) = run(&file, &["context", "list"]);
    assert_eq!((code, out.as_str()), (0, "NAME  IN USE  MESH  TOKEN  RELAYS\n"));
    let eu = ["context", "set", "eu", "--mesh", "https://eu.example:7400", "--token-file", "/run/eu.token"];
    let relay = ["--relay", "edge=https://eu.example:7410,https://eu.example:7411"];
    assert_eq!(ok(&file, &[&eu[..], &relay].concat()), "`eu` is set\n");
    ok(
        &file,
        &["context", "set", "us", "--mesh", "https://us.example:7400", "--token-command", "vault read us"],
    );
    assert_eq!(
        ok(&file, &["context", "list"]),
        "NAME  IN USE  MESH                     TOKEN    RELAYS\n\
         eu    yes     https://eu.example:7400  file     edge\n\
         us    -       https://us.example:7400  command  -\n"
    );
    ok(&file, &["context", "use", "us"]);
    assert!(ok(&file, &["context", "show"]).starts_with("mesh         https://us.example:7400\n"));
    assert!(ok(&file, &["--context", "eu", "context", "show"]).contains("edge"));
    assert_eq!(
        ok(&file, &["context", "show", "eu", "--output", "yaml"]),
        "mesh: https://eu.example:7400\n\
         name: eu\n\
         relays:\n\
         - admin: https://eu.example:7411\n\
         \x20 data: https://eu.example:7410\n\
         \x20 name: edge\n\
         token_file: /run/eu.token\n"
    );
    // What is said replaces what was said, and nothing else.
    ok(&file, &["context", "set", "eu", "--token-command", "pass eu"]);
    let document: serde_json::Value =
        serde_json::from_str(&ok(&file, &["context", "list", "--output", "json"])).unwrap();
    assert_eq!(document["current"], "us");
    assert_eq!(document["contexts"][0]["token_command"], serde_json::json!(["pass", "eu"]));
    assert_eq!(document["contexts"][0]["token_file"], serde_json::Value::Null);
    assert_eq!(document["contexts"][0]["relays"][0]["name"], "edge");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    ok(&file, &["context", "delete", "us"]);
    let document: serde_json::Value =
        serde_json::from_str(&ok(&file, &["context", "list", "--output", "json"])).unwrap();
    assert_eq!((&document["current"], document["contexts"].as_array().unwrap().len()), (&().into(), 1));
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("contexts.toml");
    let refused = |args: &[&str], code: i32, words: &str| {
        let (found, out, err) = run(&file, args);
        assert_eq!((found, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.contains(words) && err.contains("hint:"), "{args:?}: {err}");
    };
    refused(&["context", "use", "eu"], 5, "omnirelay context set NAME --mesh URL");
    refused(&["context", "set", "eu"], 2, "--mesh URL");
    refused(&["context", "set", "a/b", "--mesh", "https://a"], 2, "letters, digits");
    refused(&["context", "set", "eu", "--mesh", "http://a"], 2, "https://HOST:PORT");
    refused(&["context", "set", "eu", "--mesh", "https://me:secret@a"], 2, "https://HOST:PORT");
    refused(
        &["context", "set", "eu", "--mesh", "https://a", "--relay", "edge"],
        2,
        "NAME=DATA_URL,ADMIN_URL",
    );
    refused(
        &["context", "set", "eu", "--mesh", "https://a", "--certificate", "/c.pem"],
        3,
        "belong together",
    );
    refused(&["--context", "eu", "mesh", "peers", "list"], 5, "there is no context `eu`");
    assert!(!file.exists(), "nothing that was refused is written");
    ok(&file, &["context", "set", "eu", "--mesh", "https://a"]);
    refused(&["context", "show", "us"], 5, "known are: eu");
    std::fs::write(&file, "current = \"gone\"\n").unwrap();
    refused(&["mesh", "peers", "list"], 3, "`current` names `gone`");
    std::fs::write(&file, "[contexts.eu]\nmesh = \"https://a\"\ntoken = \"x\"\n").unwrap();
    refused(&["mesh", "peers", "list"], 3, "contexts.toml:3");
}
