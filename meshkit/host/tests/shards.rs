//! Owners follow membership.
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

use std::collections::BTreeMap;

use meshkit_client::{MeshClient, ShardFilter, v1};
use relay_core::{Code, Protocol};
use support::{Ask, Bench, OBSERVER, READER, eventually, peer};

const NAMESPACE: &str = "[[shards.namespaces]]\nname = \"stock\"\nservice = \"inventory\"\nshards = 32\n";

async fn owners(client: &MeshClient) -> BTreeMap<String, usize> {
    let shards = client.shards(ShardFilter::default()).await.unwrap().value;
    assert!(shards.is_empty() || shards.len() == 32, "{}", shards.len());
    let mut owners = BTreeMap::new();
    for shard in shards {
        *owners.entry(shard.owner).or_insert(0) += 1;
    }
    owners
}

fn fences(shards: &[v1::Shard]) -> Vec<u64> {
    shards.iter().map(|shard| shard.fence).collect()
}

#[tokio::test]
async fn owners_follow_membership_under_growing_fences() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    let all = async || client.shards(ShardFilter::default()).await.unwrap().value;
    eventually("shards without owner", async || owners(&client).await.get("") == Some(&32)).await;

    client.register(peer("inventory-1", "inventory")).await.unwrap();
    client.register(peer("greeter-1", "greeter")).await.unwrap();
    let one = |owners: BTreeMap<String, usize>, id| owners.get(id) == Some(&32);
    eventually("the only one owns all", async || one(owners(&client).await, "inventory-1")).await;
    let before = all().await;

    client.register(peer("inventory-2", "inventory")).await.unwrap();
    eventually("two share", async || {
        let owners = owners(&client).await;
        owners.len() == 2 && owners.values().all(|count| *count > 4)
    })
    .await;
    let after = all().await;
    for (before, after) in before.iter().zip(&after) {
        let grown = u64::from(before.owner != after.owner);
        assert_eq!(after.fence, before.fence + grown);
    }

    client.heartbeat("inventory-1", true).await.unwrap();
    eventually("the other takes over", async || one(owners(&client).await, "inventory-2")).await;
    client.heartbeat("inventory-2", true).await.unwrap();
    eventually("nobody is left", async || one(owners(&client).await, "")).await;
    let last = all().await;
    assert!(fences(&last).iter().zip(fences(&after)).all(|(last, after)| *last > after));
}

#[tokio::test]
async fn lookups_agree_over_grpc_and_rest() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, READER);
    let channel = bench.channel(&meshkitd, Protocol::Http1, None);
    let get = async |path: &str| Ask::get(&channel, path).token(READER).send().await;
    eventually("ready", async || get("/readyz").await.status.as_u16() == 200).await;
    let found = client.lookup_shard("stock", b"order-1").await.unwrap().value;
    // The published vector says 37 of 64, and 37 mod 32 is 5.
    assert_eq!((found.shard_namespace.as_str(), found.id), ("stock", 5));
    let answer = get("/meshkit/shards/lookup?namespace=stock&key=order-1").await;
    assert_eq!(answer.json()["id"], 5);
    let unknown = client.lookup_shard("none", b"k").await.unwrap_err();
    assert_eq!(unknown.code, Code::NotFound);
    for path in [
        "/meshkit/shards/lookup?namespace=none&key=k",
        "/meshkit/shards/lookup?namespace=stock",
        "/meshkit/shards?status=well",
        "/meshkit/shards?owner=x&colour=red",
    ] {
        let (status, _) = get(path).await.problem();
        assert_eq!(status, if path.contains("none") { 404 } else { 400 }, "{path}");
    }
    let mut pages = 0;
    let mut path = "/meshkit/shards?namespace=stock&limit=10".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = get(&path).await.json();
        pages += 1;
        ids.extend(page["shards"].as_array().unwrap().iter().map(|s| s["id"].as_u64().unwrap()));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/meshkit/shards?namespace=stock&limit=10&cursor={cursor}");
    }
    assert_eq!((pages, ids), (4, (0..32).collect()));
    let first = get("/meshkit/shards").await;
    let again = Ask::get(&channel, "/meshkit/shards").token(READER);
    let again = again.header("if-none-match", first.etag()).send().await;
    assert_eq!(again.status.as_u16(), 304);
}

#[tokio::test]
async fn a_module_that_does_not_run_answers_nothing() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&["--module", "registry"]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    client.register(peer("inventory-1", "inventory")).await.unwrap();
    let refused = client.shards(ShardFilter::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::Unimplemented);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let answer = Ask::get(&channel, "/meshkit/shards").token(READER).send().await;
    assert_eq!(answer.problem().0, 404);
}

#[test]
fn a_namespace_cannot_change_its_size() {
    let bench = Bench::new(NAMESPACE);
    drop(bench.start(&[]));
    let output = bench.refused(&["--set", "shards.namespaces.0.shards=64"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("has 32 shards in the store and 64 in the configuration"), "{stderr}");
    assert!(stderr.contains("hint:"), "{stderr}");
}
