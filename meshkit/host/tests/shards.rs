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

use http::Method;
use meshkit_client::{AssignShard, Change, MeshClient, Seen, ShardFilter, ShardMap, Simulation, v1};
use omnirelay_runtime::DrainController;
use relay_core::{Code, Protocol};
use serde_json::json;
use support::{ADMIN, Ask, Bench, OBSERVER, OPERATOR, READER, eventually, peer};

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

#[tokio::test]
async fn namespaces_are_made_changed_and_removed_at_run_time() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    admin.register(peer("inventory-1", "inventory")).await.unwrap();
    admin.register(peer("inventory-2", "inventory")).await.unwrap();
    let new = |name: &str| v1::Namespace {
        name: name.to_owned(),
        shards: 10,
        service: "inventory".to_owned(),
        ..v1::Namespace::default()
    };
    let any = Change::of(Seen::Any);
    assert!(
        admin.create_namespace(new("orders"), &any.clone().dry_run()).await.unwrap().value.outcome.dry_run
    );
    let made = admin.create_namespace(new("orders"), &any).await.unwrap().value.record;
    assert_eq!((made.strategy.as_str(), made.replicas, made.spread_zones), ("rendezvous", 1, Some(true)));
    assert_eq!(admin.create_namespace(new("orders"), &any).await.unwrap_err().code, Code::AlreadyExists);
    let all = async || admin.shards(ShardFilter::default()).await.unwrap().value;
    eventually("two share ten", async || {
        let of = |shards: &[v1::Shard], id: &str| shards.iter().filter(|shard| shard.owner == id).count();
        let shards = all().await;
        (of(&shards, "inventory-1"), of(&shards, "inventory-2")) == (5, 5)
    })
    .await;
    // Another strategy moves nothing: everybody has its share already.
    let before = all().await;
    let ring = v1::Namespace { strategy: "ring".to_owned(), replicas: 2, ..new("orders") };
    let changed = admin.update_namespace(ring, &["strategy", "replicas"], &any).await.unwrap().value.record;
    assert_eq!((changed.strategy.as_str(), changed.replicas, changed.record_version), ("ring", 2, 2));
    eventually("replicas", async || all().await.iter().all(|shard| shard.standbys.len() == 1)).await;
    let after = all().await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&after.owner, after.fence, after.strategy.as_str()),
            (&before.owner, before.fence, "ring")
        );
    }

    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let ask = |method: Method, path: &str| Ask::new(&channel, method, path).token(ADMIN);
    let path = "/meshkit/namespaces/orders";
    let bad = json!({ "namespace": { "strategy": "locality-aware" } });
    let (status, _) = ask(Method::PATCH, path).header("if-match", "*").json(&bad).await.problem();
    assert_eq!(status, 400, "it names no zones");
    let fixed = json!({ "namespace": { "shards": 5 } });
    assert_eq!(ask(Method::PATCH, path).header("if-match", "*").json(&fixed).await.problem().0, 400);
    let good = json!({ "namespace": { "strategy": "jump", "handover": "immediate" }, "ticket": "OPS-1" });
    assert_eq!(ask(Method::PATCH, path).header("if-match", "\"1\"").json(&good).await.problem().0, 412);
    let answer = ask(Method::PATCH, path).header("if-match", "\"2\"").json(&good).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["namespace"]["strategy"]), (200, &json!("jump")));
    let listed = ask(Method::GET, "/meshkit/namespaces").send().await.json();
    assert_eq!(listed["namespaces"][0]["recordVersion"], 3);

    let refused = ask(Method::DELETE, path).header("if-match", "*").send().await;
    assert_eq!(refused.problem().0, 428, "it is to be confirmed");
    let tried =
        ask(Method::DELETE, &format!("{path}?dryRun=true")).header("if-match", "*").send().await.json();
    let token = tried["outcome"]["confirmation"]["token"].as_str().unwrap();
    let gone = ask(Method::DELETE, path).header("if-match", "*").header("confirmation-token", token);
    assert_eq!(gone.send().await.status.as_u16(), 200);
    eventually("its shards follow", async || all().await.is_empty()).await;
    assert_eq!(admin.get_namespace("orders").await.unwrap_err().code, Code::NotFound);
    // Made anew its fences go on above those that were.
    let highest = after.iter().map(|shard| shard.fence).max().unwrap();
    eventually("it is made anew", async || admin.create_namespace(new("orders"), &any).await.is_ok()).await;
    eventually("its shards too", async || all().await.len() == 10).await;
    assert!(all().await.iter().all(|shard| shard.fence > highest));
}

#[tokio::test]
async fn the_past_and_what_would_be_are_told() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OPERATOR);
    client.register(peer("inventory-1", "inventory")).await.unwrap();
    let one = async |id: &str| owners(&client).await.get(id) == Some(&32);
    eventually("the only one owns all", async || one("inventory-1").await).await;
    let from = client.list_shards(&ShardFilter::default(), 1, "").await.unwrap().value.revision;

    let add = |id: &str| v1::SimulatedNode { id: id.to_owned(), zone: "b".to_owned(), weight: 1 };
    let namespace = "stock".to_owned();
    let question = Simulation { namespace, add: vec![add("inventory-2")], ..Simulation::default() };
    let answer = client.simulate_shards(&question).await.unwrap().value;
    assert_eq!((answer.moved, answer.shards, answer.moved_percent), (16, 32, 50.0));
    let loads: Vec<_> =
        answer.loads.iter().map(|load| (load.node.as_str(), load.before, load.after)).collect();
    assert_eq!(loads, [("inventory-1", 32, 16), ("inventory-2", 0, 16)]);
    assert!(one("inventory-1").await, "nothing was written");
    let gone = Simulation { remove: vec!["inventory-9".to_owned()], ..question.clone() };
    assert_eq!(client.simulate_shards(&gone).await.unwrap_err().code, Code::NotFound);
    let twice = Simulation { add: vec![add("inventory-1")], ..question.clone() };
    assert_eq!(client.simulate_shards(&twice).await.unwrap_err().code, Code::InvalidArgument);

    // What was told comes about, and nothing else.
    client.register(peer("inventory-2", "inventory")).await.unwrap();
    eventually("two share", async || owners(&client).await.get("inventory-2") == Some(&16)).await;
    let diff = client.diff_shards("stock", from, 0).await.unwrap().value;
    let told: Vec<_> = answer.moves.iter().map(|one| (one.id, one.to.as_str())).collect();
    let came: Vec<_> =
        diff.changes.iter().map(|one| (one.id, one.after.as_ref().unwrap().owner.as_str())).collect();
    assert_eq!(came, told);
    assert!(diff.changes.iter().all(|one| one.before.as_ref().unwrap().owner == "inventory-1"));
    let later = client.diff_shards("", diff.to_revision + 1_000, 0).await.unwrap_err();
    assert_eq!(later.code, Code::InvalidArgument);

    let id = told[0].0;
    let history = client.shard_history("stock", id, 0).await.unwrap().value;
    let owners: Vec<_> = history.iter().map(|past| past.shard.as_ref().unwrap().owner.as_str()).collect();
    assert_eq!(owners, ["inventory-2", "inventory-1", ""], "newest first");
    assert_eq!(client.shard_history("stock", 99, 0).await.unwrap_err().code, Code::NotFound);

    let shard = client.get_shard("stock", id).await.unwrap().value;
    let asked = |peer: &str, fence: u64| AssignShard {
        namespace: "stock".to_owned(),
        id,
        peer: peer.to_owned(),
        fence,
    };
    let change = Change::of(Seen::Any).reason("hot").ticket("OPS-7");
    assert_eq!(client.assign_shard(&asked("inventory-1", 0), &change).await.unwrap_err().code, Code::Aborted);
    let nobody = client.assign_shard(&asked("inventory-9", shard.fence), &change).await.unwrap_err();
    assert_eq!(nobody.code, Code::FailedPrecondition);
    let moved = client.assign_shard(&asked("inventory-1", shard.fence), &change).await.unwrap().value.record;
    assert_eq!(
        (moved.owner.as_str(), moved.pinned.as_str(), moved.ticket.as_str()),
        ("inventory-1", "inventory-1", "OPS-7")
    );
    assert_eq!(moved.fence, shard.fence + 1);

    let channel = bench.channel(&meshkitd, Protocol::Http1, None);
    let get = async |path: &str| Ask::get(&channel, path).token(READER).send().await;
    let answer = get("/meshkit/shards:simulate?namespace=stock&remove=inventory-2").await.json();
    assert_eq!((&answer["moved"], &answer["loads"][0]["after"]), (&json!(16), &json!(32)));
    let answer = get(&format!("/meshkit/shards/stock/{id}")).await.json();
    assert_eq!((&answer["leader"], &answer["phase"]), (&json!("inventory-1"), &json!("active")));
    assert_eq!(answer["checksum"], format!("{:016x}", moved.checksum));
    let answer = get("/meshkit/shards:owners").await.json();
    assert_eq!(answer["owners"][1]["owner"], "inventory-2");
    assert!(
        get(&format!("/meshkit/shards:diff?from={from}")).await.json()["changes"].as_array().unwrap().len()
            >= 16
    );
    for (path, status) in [
        ("/meshkit/shards/stock/99", 404),
        ("/meshkit/shards/stock/x", 400),
        ("/meshkit/shards/none/1", 404),
        ("/meshkit/shards:simulate?add=a:b:c:d", 400),
    ] {
        assert_eq!(get(path).await.problem().0, status, "{path}");
    }
}

#[tokio::test]
async fn maps_follow_across_restarts_and_go_on_answering() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&[]);
    let address = format!("listener.address={}", meshkitd.address);
    let client = bench.client(&meshkitd, Protocol::Http2, OBSERVER);
    let drain = DrainController::new();
    let map = ShardMap::follow(client.clone(), "", drain.drain());
    map.ready().await;
    client.register(peer("inventory-1", "inventory")).await.unwrap();
    let owner = |key: &[u8]| map.lookup("stock", key).and_then(|at| at.owner).map(|owner| owner.to_string());
    eventually("the map follows", async || owner(b"order-1").as_deref() == Some("inventory-1")).await;
    assert_eq!(map.lookup("stock", b"order-1").unwrap().shard, 5);
    assert_eq!((map.shards("stock"), map.lookup("none", b"k")), (Some(32), None));

    meshkitd.kill();
    assert_eq!(owner(b"order-1").as_deref(), Some("inventory-1"), "it goes on answering");
    let again = bench.start(&["--set", &address]);
    let admin = bench.client(&again, Protocol::Http3, ADMIN);
    let new = v1::Namespace {
        name: "later".to_owned(),
        shards: 4,
        service: "inventory".to_owned(),
        ..v1::Namespace::default()
    };
    admin.create_namespace(new, &Change::of(Seen::Any)).await.unwrap();
    eventually("a new namespace is known in its size", async || map.shards("later") == Some(4)).await;
    assert!(map.age().is_some() && map.version() > 0);
}
