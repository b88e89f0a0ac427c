//! Owners of the SDK against a real meshkitd, under calls all the while.
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

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshkit_client::{
    AssignShard, Change, MeshClient, Place, Registration, Seen, ShardFilter, ShardHost, ShardOwner, v1,
};
use omnirelay_runtime::DrainController;
use relay_core::{Code, Protocol};
use support::cut::Cut;
use support::{Bench, Meshkitd, OBSERVER, OPERATOR, eventually, peer};

const NAMESPACE: &str = "[[shards.namespaces]]\nname = \"stock\"\nservice = \"inventory\"\nshards = 8\n\
                         handover = \"acknowledged\"\n";
const SHARDS: usize = 8;

/// What the owners accepted, as the thing that they write to sees it: the highest fence of each shard.
#[derive(Default)]
struct Checker {
    fences: Mutex<HashMap<u32, u64>>,
    accepted: AtomicU64,
    failed: AtomicU64,
}

impl Checker {
    fn accept(&self, shard: u32, fence: u64) {
        let mut fences = self.fences.lock().unwrap();
        let highest = fences.entry(shard).or_default();
        assert!(fence >= *highest, "shard {shard} is written under the stale fence {fence}, not {highest}");
        *highest = fence;
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

/// A service that takes a moment for everything.
struct Service;

impl ShardOwner for Service {
    async fn warm(&self, _place: &Place) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    async fn acquire(&self, _place: &Place, _fence: u64) {}

    async fn drain(&self, _place: &Place, _fence: u64, _successor: &str) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    async fn release(&self, _place: &Place) {}

    fn load(&self, _place: &Place) -> f64 {
        2.5
    }
}

struct Member {
    host: ShardHost,
    drain: DrainController,
    cut: Arc<Cut>,
}

fn join(bench: &Bench, meshkitd: &Meshkitd, id: &str) -> Member {
    let (client, cut) = Cut::client(bench, meshkitd);
    let drain = DrainController::new();
    let host = ShardHost::spawn(client.clone(), "stock", id, Arc::new(Service), drain.drain());
    let ended = host.clone();
    let registration = Registration::new(client, peer(id, "inventory"));
    let _state = registration.goodbye_after(async move { ended.ended().await }).spawn(drain.drain());
    Member { host, drain, cut }
}

/// Calls keys one after another, each where it is said to be until it is accepted, for as long as `goes_on`.
async fn call(hosts: Vec<(String, ShardHost)>, checker: Arc<Checker>, goes_on: Arc<AtomicBool>) {
    let mut n = 0_u64;
    while goes_on.load(Ordering::Relaxed) {
        n += 1;
        let key = format!("item-{n}");
        let mut at = usize::try_from(n).unwrap() % hosts.len();
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match hosts[at].1.enter_soon(key.as_bytes(), Duration::from_secs(1)).await {
                Ok(entered) => {
                    tokio::task::yield_now().await;
                    if entered.is_valid() {
                        checker.accept(entered.shard(), entered.fence());
                        break;
                    }
                }
                Err(refused) => {
                    let named = |owner: Arc<str>| hosts.iter().position(|(id, _)| **id == *owner);
                    at = refused.owner.and_then(named).unwrap_or((at + 1) % hosts.len());
                }
            }
            if tokio::time::Instant::now() > until {
                checker.failed.fetch_add(1, Ordering::Relaxed);
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Says whether the fence was the present one.
async fn assign(operator: &MeshClient, asked: &AssignShard) -> bool {
    match operator.assign_shard(asked, &Change::of(Seen::Any).ticket("OPS-7")).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code, Code::Aborted, "{error}");
            false
        }
    }
}

async fn serving(bench: &Bench, meshkitd: &Meshkitd) -> HashMap<String, usize> {
    let client = bench.client(meshkitd, Protocol::Http3, OBSERVER);
    let mut serving = HashMap::new();
    for shard in client.shards(ShardFilter::default()).await.unwrap().value {
        if !shard.leader.is_empty() && shard.successor.is_empty() {
            *serving.entry(shard.leader).or_insert(0) += 1;
        }
    }
    serving
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_moves_fail_no_call_and_no_write_is_accepted_under_a_stale_fence() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&[]);
    let ids = ["inventory-1", "inventory-2", "inventory-3"];
    let members: Vec<Member> = ids.iter().map(|id| join(&bench, &meshkitd, id)).collect();
    let fair =
        |serving: HashMap<String, usize>| serving.len() == 3 && serving.values().sum::<usize>() == SHARDS;
    eventually("three share", async || fair(serving(&bench, &meshkitd).await)).await;

    let (checker, goes_on) = (Arc::new(Checker::default()), Arc::new(AtomicBool::new(true)));
    let hosts: Vec<_> =
        ids.iter().zip(&members).map(|(id, member)| ((*id).to_owned(), member.host.clone())).collect();
    let calls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(call(hosts.clone(), Arc::clone(&checker), Arc::clone(&goes_on))))
        .collect();

    // An operator moves every shard to one owner, and gives them back.
    let operator = bench.client(&meshkitd, Protocol::Http3, OPERATOR);
    for peer in ["inventory-1", ""] {
        for id in 0..u32::try_from(SHARDS).unwrap() {
            let asked = AssignShard { namespace: "stock".to_owned(), id, peer: peer.to_owned(), fence: 0 };
            assert!(!assign(&operator, &asked).await, "nobody owns under fence 0");
            // What was bound before moves others to where there is room.
            eventually("it is assigned", async || {
                let fence = operator.get_shard("stock", id).await.unwrap().value.fence;
                assign(&operator, &AssignShard { fence, ..asked.clone() }).await
            })
            .await;
        }
        let settled = |serving: HashMap<String, usize>| match peer {
            "" => fair(serving),
            peer => serving.get(peer) == Some(&SHARDS),
        };
        eventually("the shards move", async || settled(serving(&bench, &meshkitd).await)).await;
    }
    let owners = operator.shard_owners("stock").await.unwrap().value.owners;
    assert!(owners.iter().all(|owner| owner.active == owner.shards), "{owners:?}");

    // One of them ends as processes do.
    members[1].drain.start();
    assert_eq!(members[1].drain.finished(Duration::from_secs(20)).await, 0);
    let two =
        |serving: HashMap<String, usize>| serving.len() == 2 && serving.values().sum::<usize>() == SHARDS;
    eventually("two share", async || two(serving(&bench, &meshkitd).await)).await;
    assert!(checker.accepted.load(Ordering::Relaxed) > 0);
    assert_eq!(checker.failed.load(Ordering::Relaxed), 0, "calls failed though everything was planned");

    // One is cut off: it stops by itself before the other takes over.
    members[2].cut.set(true);
    let one = |serving: HashMap<String, usize>| serving.get("inventory-1") == Some(&SHARDS);
    eventually("the other takes over", async || one(serving(&bench, &meshkitd).await)).await;
    for n in 0..100 {
        let refused = members[2].host.enter(format!("item-{n}").as_bytes()).unwrap_err();
        assert_ne!(refused.owner.as_deref(), Some("inventory-3"));
    }
    // It comes back and takes its share again.
    members[2].cut.set(false);
    eventually("two share again", async || two(serving(&bench, &meshkitd).await)).await;
    goes_on.store(false, Ordering::Relaxed);
    for calls in calls {
        calls.await.unwrap();
    }
    let history = operator.shard_history("stock", 0, 0).await.unwrap().value;
    assert!(
        history.iter().any(|past| past.ticket == "OPS-7" && past.action == "shard.assign"),
        "{history:?}"
    );
    assert!(history.iter().any(|past| past.action == "shard.acknowledge"));
    let fence = |past: &v1::ShardHistoryEntry| past.shard.as_ref().map(|shard| shard.fence);
    assert!(history.windows(2).all(|pair| fence(&pair[0]) >= fence(&pair[1])), "newest first, fences grow");
}
