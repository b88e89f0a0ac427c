//! The committed generated code is what the generator makes of the `.proto` files today.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::path::Path;
use std::process::Command;

#[test]
fn generated_code_is_fresh() {
    // Bazel names the generator; under cargo it is run through cargo itself.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let mut command = match std::env::var_os("PROTO_GEN") {
        Some(path) => Command::new(std::env::current_dir().unwrap().join(path)),
        None => {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["run", "--quiet", "--package", "proto-gen", "--"]);
            cargo
        }
    };
    let proto_dir = std::env::var_os("PROTO_DIR").map_or_else(|| root.to_owned(), Into::into);
    let status = command.arg(&proto_dir).arg(out.path()).status().unwrap();
    assert!(status.success(), "the generator failed");
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let fresh = entry.unwrap().path();
        let committed = proto_dir.join("src/gen").join(fresh.file_name().unwrap());
        assert!(
            std::fs::read(&committed).unwrap_or_default() == std::fs::read(&fresh).unwrap(),
            "{} is stale: run `cargo run -p proto-gen -- proto proto/src/gen` and commit",
            committed.display()
        );
    }
}
