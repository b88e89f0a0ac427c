//! The committed generated code is what the generator makes of the `.proto` file today.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn generated_code_is_fresh() {
    // Bazel names the generator; under cargo it is run through cargo itself.
    let out = tempfile::tempdir().unwrap();
    let mut command = match std::env::var_os("PROTO_GEN") {
        Some(path) => Command::new(std::env::current_dir().unwrap().join(path)),
        None => {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["run", "--quiet", "--package", "proto-gen", "--"]);
            cargo
        }
    };
    let root = std::env::var_os("ETCD_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).into(), PathBuf::from);
    let status = command.arg(root.join("proto")).arg(out.path()).status().unwrap();
    assert!(status.success(), "the generator failed");
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let fresh = entry.unwrap().path();
        let committed = root.join("src/gen").join(fresh.file_name().unwrap());
        assert!(
            std::fs::read(&committed).unwrap_or_default() == std::fs::read(&fresh).unwrap(),
            "{} is stale: run `cargo run -p proto-gen -- meshkit/etcd/proto meshkit/etcd/src/gen` and commit",
            committed.display()
        );
    }
}
