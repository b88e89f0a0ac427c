//! The pinned hash: the SDK, the published vectors and the reference's own Python say the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use meshkit_client::{hash, shard_of_key};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../proto/shard-hash.json");
const REFERENCE: &str = include_str!("../../../docs/reference/shard-hash.md");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_sdk_agrees_with_the_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let all = |name: &str| vectors[name].as_array().unwrap().clone();
    for vector in all("hashes") {
        let key = bytes(vector["hex"].as_str().unwrap());
        assert_eq!(format!("{:016x}", hash(&key)), vector["hash"].as_str().unwrap(), "{vector}");
    }
    for vector in all("lookups") {
        let shards = u32::try_from(vector["shards"].as_u64().unwrap()).unwrap();
        let shard = shard_of_key(&bytes(vector["hex"].as_str().unwrap()), shards);
        assert_eq!(u64::from(shard), vector["shard"].as_u64().unwrap(), "{vector}");
    }
    for vector in all("checksums") {
        let checksum = hash(vector["text"].as_str().unwrap().as_bytes());
        assert_eq!(format!("{checksum:016x}"), vector["checksum"].as_str().unwrap(), "{vector}");
    }
    assert!(all("hashes").len() >= 10 && all("lookups").len() >= 40);
}

#[test]
fn the_references_python_agrees_with_the_vectors() {
    let (_, code) = REFERENCE.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let driver = "
import json, sys
vectors = json.load(sys.stdin)
for one in vectors['hashes']:
    assert f\"{hash(bytes.fromhex(one['hex'])):016x}\" == one['hash'], one
for one in vectors['lookups']:
    assert shard(bytes.fromhex(one['hex']), one['shards']) == one['shard'], one
for one in vectors['checksums']:
    assert f\"{hash(one['text'].encode()):016x}\" == one['checksum'], one
print(sum(len(vectors[name]) for name in ('hashes', 'lookups', 'checksums')), 'vectors hold')
";
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut running = Command::new(python)
        .args(["-c", &format!("{code}{driver}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    running.stdin.take().unwrap().write_all(VECTORS.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "the reference's Python disagrees");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("vectors hold\n"));
}
