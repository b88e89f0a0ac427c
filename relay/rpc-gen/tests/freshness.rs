//! The committed generated code is what the generator makes of the `.proto` files today.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::path::Path;
use std::process::Command;

/// The generator's words from the repository's root, without `--check`.
const SAMPLES: &str = "--include proto --out samples/src/gen \
                       --extern .samples.v1=::omnirelay_proto::samples::v1 samples/v1/samples.proto";
const INTEROP: &str = "--include relay/interop/proto --out relay/interop/src/gen \
                       --descriptors descriptors.bin grpc/testing/test.proto guide/v1/journal.proto";

fn check(words: &str) {
    // Under Bazel a test runs in its workspace's root, under cargo in its crate.
    let root = [".", "../.."].map(Path::new).into_iter().find(|root| root.join("relay/rpc-gen").is_dir());
    let named =
        std::env::var_os("CARGO_BIN_EXE_relay-rpc-gen").map(|path| std::path::absolute(path).unwrap());
    let program = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_relay-rpc-gen").into());
    let mut command = Command::new(program);
    command.current_dir(root.unwrap()).arg("--check").args(words.split_whitespace());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}run `cargo run -p relay-rpc-gen -- {words}` and commit");
}

#[test]
fn the_samples_are_fresh() {
    check(SAMPLES);
}

#[test]
fn the_interop_services_are_fresh() {
    check(INTEROP);
}
