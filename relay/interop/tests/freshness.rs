//! The committed generated code is what the generator makes of the `.proto` files today.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the generator is told beside its folders.
const WORDS: [&str; 4] =
    ["--descriptors", "descriptors.bin", "grpc/testing/test.proto", "guide/v1/journal.proto"];

/// A path of the repository: below its root under cargo, below the runfiles under Bazel.
fn below_root(path: &str) -> PathBuf {
    match std::env::var_os("RELAY_RPC_GEN") {
        Some(_) => std::env::current_dir().unwrap().join(path),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path),
    }
}

#[test]
fn generated_code_is_fresh() {
    let out = tempfile::tempdir().unwrap();
    // Bazel names the generator; under cargo it is run through cargo itself.
    let mut command = match std::env::var_os("RELAY_RPC_GEN") {
        Some(path) => Command::new(std::env::current_dir().unwrap().join(path)),
        None => {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["run", "--quiet", "--package", "relay-rpc-gen", "--"]);
            cargo
        }
    };
    command.arg("--include").arg(below_root("relay/interop/proto")).arg("--out").arg(out.path());
    assert!(command.args(WORDS).status().unwrap().success(), "the generator failed");
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let fresh = entry.unwrap().path();
        let committed = below_root("relay/interop/src/gen").join(fresh.file_name().unwrap());
        assert!(
            std::fs::read(&committed).unwrap_or_default() == std::fs::read(&fresh).unwrap(),
            "{} is stale: run `cargo run -p relay-rpc-gen -- --include relay/interop/proto --out relay/interop/src/gen {}` and commit",
            committed.display(),
            WORDS.join(" ")
        );
    }
}
