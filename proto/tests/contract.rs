//! What `buf` says of the contracts: style, and whether they still serve those who were built against the last
//! released ones (`proto/released.binpb`).
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn proto_dir() -> PathBuf {
    std::env::var_os("PROTO_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), Into::into)
}

/// Runs `buf VERB DIR`, and gives what it finds; nothing where all is well.
fn buf(verb: &str, dir: &Path) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("buf");
    command.env("HOME", home.path()).env("BUF_CACHE_DIR", home.path()).arg(verb).arg(dir);
    if verb == "breaking" {
        command.arg("--against").arg(proto_dir().join("released.binpb"));
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "buf {verb}: {said}");
    said
}

#[test]
fn contracts_keep_the_style_and_what_was_released() {
    assert_eq!(buf("lint", &proto_dir()), "");
    assert_eq!(
        buf("breaking", &proto_dir()),
        "",
        "a peer built against the last release would no longer be understood: add instead of changing"
    );
}

#[test]
fn what_breaks_a_contract_is_found() {
    let copy = tempfile::tempdir().unwrap();
    for part in ["buf.yaml", "meshkit/v1", "samples/v1"] {
        let from = proto_dir().join(part);
        let files = if from.is_dir() {
            let entries = std::fs::read_dir(&from).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![from]
        };
        for file in files {
            let to = copy.path().join(file.strip_prefix(proto_dir()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            let mut text = std::fs::read_to_string(&file).unwrap();
            if file.ends_with("shards.proto") {
                text = text.replace(" = 2;", " = 99;");
            }
            std::fs::write(to, text).unwrap();
        }
    }
    let said = buf("breaking", copy.path());
    assert!(said.contains("shards.proto") && said.contains("Previously present field \"2\""), "{said}");
}
