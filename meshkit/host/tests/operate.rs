//! What operators do, over REST on every protocol, and what is written down about it.
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

use http::Method;
use relay_client::Channel;
use relay_core::Protocol;
use serde_json::{Value, json};
use support::{ADMIN, Answer, Ask, Bench, OBSERVER, OPERATOR, eventually, peer};

const ALL: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];

async fn change(channel: &Channel, method: Method, path: &str, version: &str, body: Value) -> Answer {
    let ask = Ask::new(channel, method, path).token(ADMIN);
    let ask = if version.is_empty() { ask } else { ask.header("if-match", version) };
    ask.json(&body).await
}

/// Carries out a destructive verb in its two steps.
async fn confirmed(channel: &Channel, path: &str, version: &str, body: Value) -> Answer {
    let dry = change(channel, Method::POST, &format!("{path}?dryRun=true"), version, body.clone()).await;
    assert_eq!(dry.status.as_u16(), 200, "{dry:?}");
    let token = dry.json()["outcome"]["confirmation"]["token"].as_str().unwrap().to_owned();
    let ask = Ask::new(channel, Method::POST, path).token(ADMIN).header("if-match", version);
    ask.header("confirmation-token", &token).json(&body).await
}

async fn audit(channel: &Channel, query: &str) -> Vec<Value> {
    let path = format!("/meshkit/audit?{query}");
    let answer = Ask::get(channel, &path).token(OPERATOR).send().await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.json()["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_cordon_needs_a_version_and_is_written_down_with_its_ticket() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    for protocol in ALL {
        let channel = bench.channel(&meshkitd, protocol, None);
        let id = format!("greeter-{}", protocol.name().replace('/', "").to_lowercase());
        client.register(peer(&id, "greeter")).await.unwrap();
        let path = format!("/meshkit/peers/{id}:cordon");
        let body = json!({"reason": "disk", "ticket": "OPS-7"});
        let unsaid = change(&channel, Method::POST, &path, "", body.clone()).await;
        assert_eq!(unsaid.problem(), (428, "failed-precondition".to_owned()));
        let stale = change(&channel, Method::POST, &path, "\"9\"", body.clone()).await;
        assert_eq!(stale.problem(), (412, "aborted".to_owned()));
        let narrow = Ask::new(&channel, Method::POST, &path).token(OBSERVER).header("if-match", "\"1\"");
        assert_eq!(narrow.json(&body).await.problem(), (403, "permission-denied".to_owned()));
        let dry = change(&channel, Method::POST, &format!("{path}?dryRun=true"), "\"1\"", body.clone()).await;
        assert_eq!(dry.json()["outcome"]["dryRun"], true);
        assert_eq!(dry.json()["peer"]["hold"]["state"], "cordoned");
        let done = change(&channel, Method::POST, &path, "\"1\"", body.clone()).await;
        assert_eq!((done.status.as_u16(), done.etag()), (200, "W/\"2\""), "{done:?}");
        let again = change(&channel, Method::POST, &path, "\"2\"", body).await;
        assert_eq!(again.json()["outcome"]["unchanged"], true);
        assert_eq!(again.etag(), "W/\"2\"");

        let entries = audit(&channel, &format!("record=peer/{id}&action=peer.cordon")).await;
        let outcomes: Vec<_> = entries
            .iter()
            .rev()
            .map(|entry| (entry["actor"].as_str().unwrap(), entry["refused"].is_string()))
            .collect();
        let expected =
            [("token:admin", true), ("token:admin", true), ("token:observer", true), ("token:admin", false)];
        assert_eq!(outcomes, expected);
        assert_eq!((&entries[0]["ticket"], &entries[0]["reason"]), (&json!("OPS-7"), &json!("disk")));
        assert!(
            entries[0]["before"].is_string() && entries[0]["after"].as_str().unwrap().contains("cordoned")
        );
    }
}

#[tokio::test]
async fn a_drain_moves_every_shard_and_an_uncordon_brings_them_back() {
    let bench = Bench::new("[[shards.namespaces]]\nname = \"orders\"\nservice = \"greeter\"\nshards = 64\n");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let owned = async |owner: &str| {
        let filter = meshkit_client::ShardFilter { owner: owner.to_owned(), ..Default::default() };
        client.shards(filter).await.unwrap().value.len()
    };
    for id in ["a", "b"] {
        client.register(peer(id, "greeter")).await.unwrap();
    }
    eventually("both own shards", async || owned("a").await > 0 && owned("b").await > 0).await;
    let before = owned("a").await;
    let unconfirmed = change(&channel, Method::POST, "/meshkit/peers/a:drain", "\"1\"", json!({})).await;
    assert_eq!(unconfirmed.problem(), (428, "failed-precondition".to_owned()));
    let done = confirmed(&channel, "/meshkit/peers/a:drain", "\"1\"", json!({"ticket": "OPS-8"})).await;
    assert_eq!(done.status.as_u16(), 200, "{done:?}");
    assert_eq!(done.json()["peer"]["hold"]["progress"]["total"], before);
    let read = async || Ask::get(&channel, "/meshkit/peers/a").token(OBSERVER).send().await.json();
    eventually("it is drained", async || read().await["hold"]["state"] == "drained").await;
    assert_eq!(read().await["hold"]["progress"]["percent"], 100);
    assert_eq!((owned("a").await, owned("b").await), (0, 64));
    // It registers anew, as a restarted process does, and stays held.
    client.register(v1_with_version("a", "0.2.0")).await.unwrap();
    assert_eq!(read().await["hold"]["state"], "drained");
    let back = change(&channel, Method::POST, "/meshkit/peers/a:uncordon", "*", json!({})).await;
    assert_eq!(back.status.as_u16(), 200, "{back:?}");
    eventually("its shards are back", async || owned("a").await == before).await;
}

fn v1_with_version(id: &str, version: &str) -> meshkit_client::v1::Peer {
    meshkit_client::v1::Peer { version: version.to_owned(), ..peer(id, "greeter") }
}

#[tokio::test]
async fn labels_filters_sorting_and_sparse_fields() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    for n in 0..5 {
        let labels = [("team".to_owned(), format!("t{}", n % 2))].into();
        let version = format!("0.{n}.0");
        let peer = meshkit_client::v1::Peer { labels, version, ..peer(&format!("p{n}"), "greeter") };
        client.register(peer).await.unwrap();
    }
    let patch = json!({"labels": {"team": "core", "tier": "1"}, "ticket": "OPS-9"});
    let done = change(&channel, Method::PATCH, "/meshkit/peers/p3", "\"1\"", patch).await;
    assert_eq!(done.json()["peer"]["labels"], json!({"team": "core", "tier": "1"}), "{done:?}");
    let hidden =
        change(&channel, Method::PATCH, "/meshkit/peers/p3", "\"2\"", json!({"labels": {"tier": null}}));
    assert_eq!(hidden.await.json()["peer"]["labels"], json!({"team": "core"}));
    let ids = async |query: &str| {
        let answer = Ask::get(&channel, &format!("/meshkit/peers?{query}")).token(OBSERVER).send().await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        let peers = answer.json()["peers"].as_array().unwrap().clone();
        peers.iter().map(|peer| peer["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("filter=labels.team%3Dcore").await, ["p3"]);
    assert_eq!(ids("filter=labels.team!%3Dcore,version%3E0.1.0&sort=-version").await, ["p4", "p2"]);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/meshkit/peers?sort=-version&limit=2&fields=id{cursor}");
        let page = Ask::get(&channel, &path).token(OBSERVER).send().await.json();
        for peer in page["peers"].as_array().unwrap() {
            assert_eq!(peer.as_object().unwrap().len(), 1, "{peer}");
            seen.push(peer["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["p4", "p3", "p2", "p1", "p0"]);
    for query in ["filter=colour%3Dred", "sort=colour", "fields=colour", "filter=x"] {
        let answer = Ask::get(&channel, &format!("/meshkit/peers?{query}")).token(OBSERVER).send().await;
        assert_eq!(answer.problem(), (400, "invalid-argument".to_owned()), "{query}");
    }
    let versions = Ask::get(&channel, "/meshkit/versions").token(OBSERVER).send().await.json();
    assert_eq!(
        versions["versions"][4],
        json!({"version": "0.4.0", "role": "service", "peers": 1, "alive": 1})
    );
}

#[tokio::test]
async fn clusters_come_and_go_and_the_last_active_one_stays() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    for protocol in ALL {
        let channel = bench.channel(&meshkitd, protocol, None);
        let n = protocol.name().replace(['/', '.'], "").to_lowercase();
        let (eu, us) = (format!("eu-{n}"), format!("us-{n}"));
        let create = async |id: &str, priority: u32| {
            let spec =
                json!({"id": id, "region": "r", "priority": priority, "owners": ["store@example.com"]});
            change(&channel, Method::POST, "/meshkit/clusters", "", json!({"spec": spec, "ticket": "T"}))
                .await
        };
        let made = create(&eu, 10).await;
        assert_eq!(made.status.as_u16(), 201, "{made:?}");
        assert_eq!(create(&eu, 10).await.problem(), (409, "already-exists".to_owned()));
        let made = create(&us, 20).await;
        assert_eq!((made.json()["cluster"]["state"].as_str(), made.etag()), (Some("passive"), "\"1\""));
        let (eu, us) = (format!("/meshkit/clusters/{eu}"), format!("/meshkit/clusters/{us}"));
        if protocol == Protocol::Http1 {
            let last = confirmed_or_refused(&channel, &format!("{eu}:demote")).await;
            assert_eq!(last.problem(), (409, "failed-precondition".to_owned()));
            assert!(last.text.contains("is the last active cluster"));
        }
        let promoted = confirmed(&channel, &format!("{us}:promote"), "\"1\"", json!({"ticket": "F-1"})).await;
        assert_eq!(promoted.json()["cluster"]["state"], "active", "{promoted:?}");
        let skipped =
            confirmed_or_refused_with(&channel, &format!("{us}:demote"), json!({"to": "maintenance"})).await;
        assert_eq!(skipped.problem(), (409, "failed-precondition".to_owned()));
        let demoted = confirmed(&channel, &format!("{us}:demote"), "\"2\"", json!({})).await;
        assert_eq!(demoted.json()["cluster"]["state"], "draining", "{demoted:?}");
        let patch = json!({"spec": {"priority": 30, "annotations": {"note": "x"}}, "ticket": "T-2"});
        let updated = change(&channel, Method::PATCH, &us, "\"3\"", patch).await;
        assert_eq!(updated.json()["cluster"]["spec"]["priority"], 30, "{updated:?}");
        let wrong = change(&channel, Method::PATCH, &us, "\"4\"", json!({"spec": {"priority": 3000}})).await;
        assert_eq!(wrong.problem(), (400, "invalid-argument".to_owned()));
        let read = Ask::get(&channel, &us).token(OBSERVER).send().await;
        let held = Ask::get(&channel, &us).token(OBSERVER).header("if-none-match", read.etag()).send().await;
        assert_eq!((read.etag(), held.status.as_u16()), ("\"4\"", 304));
    }
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let active = Ask::get(&channel, "/meshkit/clusters?filter=state%3Dactive&sort=-priority");
    assert_eq!(active.token(OBSERVER).send().await.json()["clusters"].as_array().unwrap().len(), 1);
}

async fn confirmed_or_refused(channel: &Channel, path: &str) -> Answer {
    confirmed_or_refused_with(channel, path, json!({})).await
}

async fn confirmed_or_refused_with(channel: &Channel, path: &str, body: Value) -> Answer {
    change(channel, Method::POST, &format!("{path}?dryRun=true"), "*", body).await
}

#[tokio::test]
async fn configuration_is_checked_versioned_and_taken_back() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let read = async |path: &str| Ask::get(&channel, path).token(OBSERVER).send().await;
    assert_eq!(read("/meshkit/config").await.json()["number"], 0);
    let patch = async |version: &str, content: Value| {
        let body = json!({"content": content, "ticket": "C-1"});
        change(&channel, Method::PATCH, "/meshkit/config", version, body).await
    };
    assert_eq!(patch("", json!({"settings": {"a": "1"}})).await.status.as_u16(), 200);
    assert_eq!(patch("", json!({"settings": {"a": "2"}})).await.problem().0, 428);
    let tuning = json!({"heartbeatIntervalMs": 250, "suspectAfterMs": 2000, "deadAfterMs": 5000});
    let second = patch("\"1\"", json!({"settings": {"a": "2"}, "registry": tuning})).await;
    assert_eq!((second.json()["config"]["number"].as_u64(), second.etag()), (Some(2), "\"2\""));
    let wrong = patch("\"2\"", json!({"registry": {"deadAfterMs": 1}})).await;
    assert_eq!(wrong.problem(), (400, "invalid-argument".to_owned()));
    let same = patch("\"2\"", json!({"settings": {"a": "2"}})).await;
    assert_eq!(same.json()["outcome"]["unchanged"], true);
    // It is in force: a peer that registers now is asked to be heard four times a second.
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    let registered = client.register(peer("greeter-1", "greeter")).await.unwrap();
    assert_eq!(registered.value.heartbeat_interval_ms, 250);
    let back = confirmed(&channel, "/meshkit/config:rollback", "\"2\"", json!({"toNumber": 1})).await;
    let document = &back.json()["config"];
    assert_eq!(
        (document["number"].as_u64(), document["rolledBackTo"].as_u64()),
        (Some(3), Some(1)),
        "{back:?}"
    );
    assert_eq!(document["content"], json!({"settings": {"a": "1"}}));
    let history = read("/meshkit/config/history").await.json();
    let numbers: Vec<_> =
        history["versions"].as_array().unwrap().iter().map(|v| v["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1)]);
    assert_eq!(read("/meshkit/config/history/9").await.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_repeated_request_is_answered_alike_and_another_is_refused() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let patch = async |key: &str, version: &str, value: &str| {
        let ask = Ask::new(&channel, Method::PATCH, "/meshkit/config").token(ADMIN);
        let ask = ask.header("idempotency-key", key).header("if-match", version);
        ask.json(&json!({"content": {"settings": {"a": value}}})).await
    };
    let first = patch("k1", "\"0\"", "1").await;
    assert_eq!(first.json()["outcome"]["replayed"], false, "{first:?}");
    patch("k2", "\"1\"", "2").await;
    let again = patch("k1", "\"0\"", "1").await;
    assert_eq!(again.json()["outcome"]["replayed"], true, "{again:?}");
    assert_eq!(again.json()["config"], first.json()["config"]);
    assert_eq!(patch("k1", "\"2\"", "3").await.problem(), (422, "invalid-argument".to_owned()));
    drop(meshkitd);
    // It is remembered across a restart.
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let ask = Ask::new(&channel, Method::PATCH, "/meshkit/config").token(ADMIN);
    let ask = ask.header("idempotency-key", "k1").header("if-match", "\"0\"");
    let after = ask.json(&json!({"content": {"settings": {"a": "1"}}})).await;
    assert_eq!(after.json()["outcome"]["replayed"], true, "{after:?}");
}

#[tokio::test]
async fn the_audit_is_exported_whole_and_verified() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    for n in 0..20 {
        client.register(peer(&format!("p{n}"), "greeter")).await.unwrap();
    }
    for protocol in ALL {
        let channel = bench.channel(&meshkitd, protocol, None);
        let export = Ask::get(&channel, "/meshkit/audit:export").token(OPERATOR).send().await;
        assert_eq!(export.headers["content-type"], "application/x-ndjson");
        let entries: Vec<Value> =
            export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(entries.len() >= 20);
        for (at, pair) in entries.windows(2).enumerate() {
            assert_eq!(pair[1]["previous"], pair[0]["hash"], "{at}");
        }
        let verdict = Ask::get(&channel, "/meshkit/audit:verify").token(OPERATOR).send().await.json();
        assert_eq!(
            (verdict["intact"].as_bool(), verdict["entries"].as_u64()),
            (Some(true), Some(entries.len() as u64))
        );
        let refused = Ask::get(&channel, "/meshkit/audit").token(OBSERVER).send().await;
        assert_eq!(refused.problem(), (403, "permission-denied".to_owned()));
    }
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    assert_eq!(audit(&channel, "outcome=refused&kind=peer").await.len(), 0);
    assert_eq!(audit(&channel, "outcome=refused&action=audit.list").await.len(), 3);
    let mut numbers = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/meshkit/audit?limit=7{cursor}");
        let page = Ask::get(&channel, &path).token(OPERATOR).send().await.json();
        numbers.extend(
            page["entries"].as_array().unwrap().iter().map(|entry| entry["number"].as_u64().unwrap()),
        );
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(numbers.last(), Some(&1));
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "{numbers:?}");
}
