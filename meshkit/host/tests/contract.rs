//! A running meshkitd under schemathesis, which knows nothing of it but its OpenAPI document: whatever is sent, nothing is a
//! fault of the server, and every answer is one that the document promises.
//!
//! `OMNIRELAY_FUZZ_RUNS` sets how many requests are made up for each operation, `OMNIRELAY_SEED` their seed.
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

use std::path::PathBuf;
use std::process::{Command, Stdio};

use http::Method;
use relay_client::Channel;
use relay_core::Protocol;
use serde_json::{Value, json};
use support::{ADMIN, Ask, Bench, Meshkitd};

const NAMESPACES: &str = "[shards]\nnamespaces = [{ name = \"orders\", shards = 8, service = \"store\" }]\n";

/// Something of every kind, so that there are records to answer with.
async fn furnish(channel: &Channel) {
    let made = async |path: &str, body: Value| {
        let answer = Ask::new(channel, Method::POST, path).token(ADMIN).json(&body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
    };
    for (name, zone) in [("store-1", "a"), ("store-2", "b")] {
        let endpoints = json!([{ "url": "https://127.0.0.1:9443", "protocols": ["http3"] }]);
        let peer = json!({ "id": name, "role": "service", "service": "store", "zone": zone, "endpoints": endpoints });
        made("/meshkit/peers", peer).await;
    }
    for name in ["east", "west"] {
        let spec = json!({ "id": name, "region": "r", "owners": ["store@example.com"] });
        made("/meshkit/clusters", json!({ "spec": spec, "reason": "first" })).await;
    }
    let namespace = json!({ "name": "carts", "shards": 4, "service": "store" });
    made("/meshkit/namespaces", json!({ "namespace": namespace })).await;
    let config = Ask::new(channel, Method::PATCH, "/meshkit/config").token(ADMIN).header("if-match", "*");
    let config = config.json(&json!({ "content": {}, "reason": "first" })).await;
    assert!(config.status.is_success(), "{}", config.text);
}

/// Where tools/dev/setup.sh has put it, if the machine itself lacks it.
fn schemathesis() -> Command {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let own = home.join(".cache/omnirelay/python/bin/schemathesis");
    Command::new(if own.exists() { own } else { PathBuf::from("schemathesis") })
}

/// Runs it with a configuration of its own; `least` operations are to be tried.
fn run(bench: &Bench, meshkitd: &Meshkitd, config: &str, least: usize, more: &[&str]) {
    let folder = bench.ca.dir().join("schemathesis");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("schemathesis.toml"), config).unwrap();
    let seed = std::env::var("OMNIRELAY_SEED").unwrap_or_else(|_| "7".to_owned());
    let mut command = schemathesis();
    command
        .args(["run", &format!("https://{}/meshkit/openapi.json", meshkitd.address)])
        .args(["--header", &format!("Authorization: Bearer {ADMIN}"), "--no-color", "--seed", &seed])
        // What it takes is said by the schema as far as a schema can: grammars, bounds of texts and the state of the mesh
        // are beyond it, so that a request by the schema may be refused as well.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // These never end.
        .args(["--exclude-path-regex", ":watch$"])
        .args(more)
        .env("REQUESTS_CA_BUNDLE", bench.ca.ca())
        .current_dir(folder)
        .stdin(Stdio::null());
    let ended = command.output().unwrap_or_else(|error| {
        panic!("schemathesis does not run, `tools/dev/setup.sh` installs it: {error}");
    });
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    let tested =
        said.split_once("Tested: ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    assert!(tested.is_some_and(|tested: usize| tested >= least), "{said}");
}

/// The records that requests are about in the second run: in the first their names are made up.
const RECORDS: &str = r#"
[[operations]]
include-path-regex = "^/meshkit/peers/"
parameters = { "path.id" = "store-1" }
[[operations]]
include-path-regex = "^/meshkit/clusters/"
parameters = { "path.id" = "east" }
[[operations]]
include-path-regex = "^/meshkit/namespaces/"
parameters = { "path.id" = "carts" }
[[operations]]
include-path-regex = "^/meshkit/shards/"
parameters = { "path.namespace" = "orders", "path.id" = 3 }
[[operations]]
include-path-regex = "^/meshkit/leaders/"
parameters = { "path.id" = "module/shards" }
[[operations]]
include-path-regex = "^/meshkit/config/history/"
parameters = { "path.number" = 1 }
"#;

#[tokio::test]
async fn whatever_is_sent_is_answered_as_the_document_says() {
    let bench = Bench::new(NAMESPACES);
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    furnish(&channel).await;
    let examples = std::env::var("OMNIRELAY_FUZZ_RUNS").unwrap_or_else(|_| "8".to_owned());
    run(&bench, &meshkitd, "", 50, &["--phases", "coverage,fuzzing", "--max-examples", &examples]);
    let ids = ["--include-path-regex", "\\{", "--phases", "fuzzing", "--max-examples", &examples];
    run(&bench, &meshkitd, RECORDS, 20, &ids);
    // The first one may have been closed meanwhile.
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    assert_eq!(Ask::get(&channel, "/meshkit/audit:verify").token(ADMIN).send().await.json()["intact"], true);
}
