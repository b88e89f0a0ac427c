//! Who leads, over several meshkitd on one etcd: deaths, pauses, resignations, and what a leader
//! writes that leads no more.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use meshkit_client::v1::{self, LeaderEventType, LeaderState};
use meshkit_client::{Change, LeaderWatch, PeerFilter, Seen};
use relay_core::Protocol;
use relay_testkit::EtcdCluster;
use serde_json::json;
use support::etcd::{PREFIX, bench};
use support::events::Events;
use support::{Ask, Bench, DEADLINE, Meshkitd, OBSERVER, OPERATOR, READER, eventually, peer};

const REGISTRY: &str = "module/registry";
/// So many that writing what becomes of them takes a while.
const PEERS: usize = 1_000;

/// Nodes by their names.
type Nodes = BTreeMap<String, Meshkitd>;

fn start(bench: &Bench, name: &str) -> Meshkitd {
    bench.start(&["--set", &format!("node.name={name}")])
}

fn nodes(bench: &Bench) -> Nodes {
    ["first", "second", "third"].into_iter().map(|name| (name.to_owned(), start(bench, name))).collect()
}

async fn lease(bench: &Bench, meshkitd: &Meshkitd, scope: &str) -> Option<v1::Lease> {
    let client = bench.client(meshkitd, Protocol::Http2, READER);
    client.get_leader(scope).await.ok().map(|answer| answer.value)
}

/// The lease once all nodes show the same holder.
async fn agreed(bench: &Bench, nodes: &Nodes, scope: &str) -> v1::Lease {
    let mut found = None;
    eventually("all nodes show one leader", async || {
        let mut seen = Vec::new();
        for meshkitd in nodes.values() {
            seen.extend(lease(bench, meshkitd, scope).await);
        }
        seen.dedup_by_key(|lease| (lease.holder.clone(), lease.fence));
        found = seen.first().filter(|lease| seen.len() == 1 && lease.state() == LeaderState::Held).cloned();
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// The next event of a watch that is no renewal.
async fn next(watch: &mut LeaderWatch) -> v1::WatchLeadersResponse {
    loop {
        let event = tokio::time::timeout(DEADLINE, watch.next()).await.unwrap().unwrap();
        if event.r#type() != LeaderEventType::Renewed {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_is_followed_and_the_fence_grows() {
    let cluster = EtcdCluster::start(3).with_users(PREFIX);
    let bench = bench(&cluster);
    let mut nodes = nodes(&bench);
    let mut took = Vec::new();
    for _ in 0..3 {
        let before = agreed(&bench, &nodes, REGISTRY).await;
        let dead = nodes.remove(&before.holder).unwrap();
        let other = nodes.values().next().unwrap();
        let mut watch = bench.client(other, Protocol::Http3, OBSERVER).watch_leaders(REGISTRY);
        let snapshot = next(&mut watch).await;
        assert_eq!((snapshot.r#type(), &snapshot.holder), (LeaderEventType::Snapshot, &before.holder));
        let began = Instant::now();
        dead.kill();
        let expired = next(&mut watch).await;
        assert_eq!((expired.r#type(), &expired.holder), (LeaderEventType::Expired, &before.holder));
        assert_eq!(expired.fence, before.fence);
        let elected = next(&mut watch).await;
        took.push(began.elapsed());
        assert_eq!(elected.r#type(), LeaderEventType::Elected, "{elected:?}");
        assert!(nodes.contains_key(&elected.holder) && elected.fence > before.fence, "{elected:?}");
        nodes.insert(before.holder.clone(), start(&bench, &before.holder));
    }
    eprintln!("followed after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_or_resigns_is_followed_without_waiting() {
    let cluster = EtcdCluster::start(3).with_users(PREFIX);
    let bench = bench(&cluster);
    let mut nodes = nodes(&bench);
    let before = agreed(&bench, &nodes, "global").await;
    let other = nodes.iter().find(|(name, _)| **name != before.holder).unwrap().1;
    let client = bench.client(other, Protocol::Http2, OPERATOR);
    let mut watch = bench.client(other, Protocol::Http3, OBSERVER).watch_leaders("global");
    next(&mut watch).await;
    // Any node takes the request; the leader itself gives up, and only then another one leads.
    let asked = Change::of(Seen::Any).reason("maintenance").ticket("OPS-7");
    let answer = client.resign_leader("global", &asked).await.unwrap().value;
    assert!(answer.record.resigning && answer.record.holder == before.holder);
    let down = next(&mut watch).await;
    assert_eq!((down.r#type(), &down.holder), (LeaderEventType::SteppedDown, &before.holder));
    let elected = next(&mut watch).await;
    assert_eq!(elected.r#type(), LeaderEventType::Elected);
    assert_ne!(elected.holder, before.holder);
    let audit = client.list_audit(v1::ListAuditRequest::default()).await.unwrap().value.entries;
    let resign = audit.iter().find(|entry| entry.action == "leader.resign").unwrap();
    assert_eq!((resign.ticket.as_str(), resign.actor.as_str()), ("OPS-7", "token:operator"));
    let routine = audit.iter().filter(|entry| entry.action == "leader.renew").count();
    assert_eq!(routine, 0, "a renewal is nobody's deed");
    // A drained process gives up what it leads.
    let leader = nodes.remove(&elected.holder).unwrap();
    let other = nodes.values().next().unwrap();
    let mut watch = bench.client(other, Protocol::Http3, OBSERVER).watch_leaders("global");
    next(&mut watch).await;
    assert_eq!(leader.terminate().0, Some(0));
    assert_eq!(next(&mut watch).await.r#type(), LeaderEventType::SteppedDown);
    let last = next(&mut watch).await;
    assert!(last.r#type() == LeaderEventType::Elected && nodes.contains_key(&last.holder), "{last:?}");
}

/// Many peers fall silent at once, and the node that judges them is stopped in the middle of that.
/// Another one leads by the time it goes on: what it still has to write is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_slept_writes_nothing_when_it_wakes() {
    let cluster = EtcdCluster::start(3).with_users(PREFIX);
    let bench = bench(&cluster);
    let quick = ["--set", "registry.heartbeat_interval_ms=100", "--set", "registry.suspect_after_ms=1000"];
    let quick = [quick.as_slice(), &["--set", "registry.dead_after_ms=2000"]].concat();
    let mut nodes = Nodes::new();
    for name in ["first", "second"] {
        let named = format!("node.name={name}");
        nodes.insert(name.to_owned(), bench.start(&[quick.as_slice(), &["--set", &named]].concat()));
    }
    let before = agreed(&bench, &nodes, REGISTRY).await;
    let (sleeper, other) = {
        let sleeper = nodes.remove(&before.holder).unwrap();
        (sleeper, nodes.pop_first().unwrap().1)
    };
    let client = bench.client(&other, Protocol::Http2, OPERATOR);
    let mut registering = tokio::task::JoinSet::new();
    for n in 0..PEERS {
        let client = client.clone();
        registering.spawn(async move { client.register(peer(&format!("p{n}"), "greeter")).await.unwrap() });
    }
    registering.join_all().await;
    let suspect = PeerFilter { status: Some(v1::PeerStatus::Suspect), ..PeerFilter::default() };
    let found = async |wanted: usize| client.peers(suspect.clone()).await.unwrap().value.len() >= wanted;
    let began = Instant::now();
    while !found(1).await {
        assert!(began.elapsed() < DEADLINE, "nobody falls silent");
    }
    sleeper.pause();
    assert!(!found(PEERS).await, "it was stopped too late to leave anything unwritten");
    eventually("the other one leads", async || {
        lease(&bench, &other, REGISTRY).await.is_some_and(|lease| lease.holder != before.holder)
    })
    .await;
    let lead = lease(&bench, &other, REGISTRY).await.unwrap();
    sleeper.resume();
    let dead = PeerFilter { status: Some(v1::PeerStatus::Dead), ..PeerFilter::default() };
    let dead = async || client.peers(dead.clone()).await.unwrap().value.len();
    eventually("the other one judges all of them", async || dead().await == PEERS).await;
    eventually("it sees who leads", async || {
        lease(&bench, &sleeper, REGISTRY).await.is_some_and(|seen| seen.fence == lead.fence)
    })
    .await;
    // The account of all writes: none under the old fence behind the election.
    let (mut fences, mut elected) = (Vec::new(), None);
    client
        .export_audit(0, |entry: v1::AuditEntry| {
            if entry.action == "leader.elect" && entry.record == format!("lease/{REGISTRY}") {
                elected = Some(entry.number);
            }
            if entry.action == "peer.judge" {
                let fence = entry.reason.rsplit(' ').next().unwrap().trim_end_matches(')').to_owned();
                fences.push((entry.number, fence.parse::<u64>().unwrap()));
            }
            true
        })
        .await
        .unwrap();
    let elected = elected.unwrap();
    assert!(fences.iter().any(|(_, fence)| *fence == before.fence), "the sleeper judged nobody");
    let late: Vec<_> = fences.iter().filter(|(at, fence)| *at > elected && *fence != lead.fence).collect();
    assert!(late.is_empty(), "written under a stale fence: {late:?}");
}

#[tokio::test]
async fn a_node_alone_leads_everything_and_says_so_over_rest() {
    let bench = Bench::new("[[shards.namespaces]]\nname = \"orders\"\nservice = \"orders\"\nshards = 4");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let scopes = ["global", "module/registry", "module/shards", "namespace/orders"];
    eventually("it leads", async || {
        let answer = Ask::get(&channel, "/meshkit/leaders").token(READER).send().await.json();
        let leases = answer["leases"].as_array().unwrap().clone();
        leases.iter().map(|lease| lease["scope"].as_str().unwrap()).eq(scopes)
            && leases.iter().all(|lease| lease["holder"] == "meshkit-1" && lease["state"] == "held")
    })
    .await;
    let mut events = Events::open(&channel, "/meshkit/leaders:watch?scope=module/shards", None).await;
    let snapshot = events.next().await;
    assert_eq!((snapshot.name.as_str(), &snapshot.data["lease"]["fence"]), ("snapshot", &json!(1)));
    let path = "/meshkit/leaders/module/shards:resign";
    let ask = || Ask::new(&channel, http::Method::POST, path).token(OPERATOR);
    assert_eq!(ask().send().await.problem().0, 428, "whoever changes something says what it saw");
    let answer = ask().header("if-match", "*").json(&json!({ "reason": "try" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["lease"]["resigning"], true);
    let asked = events.next().await;
    assert_eq!(asked.data["lease"]["resigning"], true, "{asked:?}");
    let down = events.next().await;
    assert_eq!((down.name.as_str(), &down.data["fence"]), ("stepped-down", &json!(1)));
    drop(events);
    // Nobody else wants it, so it leads again after a while; who resumes missed nothing.
    let path = "/meshkit/leaders:watch?scope=module/shards";
    let mut events = Events::open(&channel, path, Some(&down.id)).await;
    let elected = events.next().await;
    assert_eq!((elected.name.as_str(), &elected.data["fence"]), ("elected", &json!(3)));
    for (path, status) in [("module/none", 404), ("everything", 400), ("module/", 400)] {
        let answer = Ask::get(&channel, &format!("/meshkit/leaders/{path}")).token(READER).send().await;
        assert_eq!(answer.problem().0, status, "{path}");
    }
    let metrics = Ask::get(&channel, "/metrics").token(OBSERVER).send().await.text;
    assert!(metrics.contains("meshkit_leadership_leads{scope=\"module/shards\"} 1"), "{metrics}");
    assert!(metrics.contains("meshkit_leadership_fence{scope=\"module/shards\"} 3"), "{metrics}");
}
