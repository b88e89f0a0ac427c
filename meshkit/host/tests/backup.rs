//! Copies of the store, over both ways to speak.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshkit_store::{SqliteOptions, SqliteStore, Store as _};
use relay_core::Protocol;
use relay_transport::body;
use sha2::{Digest as _, Sha256};
use support::{ADMIN, Bench, OPERATOR, peer};

/// The revision of the store that bytes are.
async fn revision(bytes: &[u8]) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.db");
    std::fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&SqliteOptions::new(&path)).unwrap();
    let revision = *store.revisions().borrow();
    store.closed().await;
    revision
}

#[tokio::test]
async fn a_copy_is_what_its_head_says_over_rest_and_grpc() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let operator = bench.client(&meshkitd, Protocol::Http3, OPERATOR);
    for n in 0..500 {
        operator.register(peer(&format!("p{n}"), "greeter")).await.unwrap();
    }
    for protocol in [Protocol::Http3, Protocol::Http2, Protocol::Http1] {
        let channel = bench.channel(&meshkitd, protocol, None);
        let request =
            http::Request::get("/meshkit/backup").header("authorization", format!("Bearer {ADMIN}"));
        let answer = channel.send(request.body(body::empty()).unwrap()).await.unwrap();
        let (answer, bytes) = answer.into_parts();
        let bytes = body::collect_limited(bytes, 64 << 20).await.unwrap();
        let head = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        assert_eq!(head("content-length"), bytes.len().to_string());
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&bytes)));
        assert_eq!(head("repr-digest"), digest);
        assert_eq!(head("mesh-revision"), revision(&bytes).await.to_string());
        assert_eq!(head("cache-control"), "private, no-store");
    }
    for protocol in [Protocol::Http3, Protocol::Http2] {
        let admin = bench.client(&meshkitd, protocol, ADMIN);
        let mut backup = admin.take_backup().await.unwrap().value;
        let mut bytes = Vec::new();
        while let Some(chunk) = backup.next().await.unwrap() {
            bytes.extend(chunk);
        }
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((backup.info.size_bytes, backup.info.sha256), (bytes.len() as u64, sum));
        assert_eq!(backup.info.revision, revision(&bytes).await);
    }
    let beside: Vec<_> = std::fs::read_dir(bench.ca.dir())
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("copy"))
        .collect();
    assert!(beside.is_empty(), "{beside:?}");
}
