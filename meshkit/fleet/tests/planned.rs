//! What is planned costs no call: shards that are reassigned, and a restart of everything, one after another.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says by panicking that it failed, and on standard output how it went"
)]

use meshkit_client::{AssignShard, Change, Seen};
use meshkit_fleet::{Fleet, Load, Programs, eventually, inside, is_thorough, judge, load};

#[test]
fn a_tenth_of_the_shards_moves_and_everything_restarts_without_a_failed_call() {
    inside("a_tenth_of_the_shards_moves_and_everything_restarts_without_a_failed_call", || {
        tokio::runtime::Runtime::new().unwrap().block_on(planned());
    });
}

async fn planned() {
    let mut fleet = Fleet::start(Programs::find(env!("CARGO_BIN_EXE_fleet-host"))).await;
    let load = Load::start(vec![fleet.channel("relay-1"), fleet.channel("relay-2")]);
    load.answered(&(0..50).collect::<Vec<_>>()).await;

    let since = load::now();
    reassign(&fleet, "inventory-1").await;
    load.goes_on(200).await;
    tell("a tenth of the shards is reassigned", &load, since);
    let since = load::now();
    reassign(&fleet, "").await;
    load.goes_on(200).await;
    tell("and goes back", &load, since);

    for role in ["inventory", "meshkit", "etcd", "relay"] {
        let since = load::now();
        let restarted = if is_thorough() { fleet.names(role) } else { vec![format!("{role}-1")] };
        for name in &restarted {
            fleet.terminate(name).await;
            fleet.run(name).await;
            fleet.settled(5).await;
        }
        load.goes_on(200).await;
        tell(&format!("{restarted:?} restart"), &load, since);
    }

    judge(&fleet, load, &[]).await;
}

/// Binds every tenth shard to one owner, or to none in particular.
async fn reassign(fleet: &Fleet, peer: &str) {
    let operator = fleet.operator();
    for id in (0..50).step_by(10) {
        eventually("it is assigned", async || {
            let Ok(shard) = operator.get_shard("stock", id).await else { return false };
            let asked = AssignShard {
                namespace: "stock".to_owned(),
                id,
                peer: peer.to_owned(),
                fence: shard.value.fence,
            };
            operator.assign_shard(&asked, &Change::of(Seen::Any).ticket("OPS-7")).await.is_ok()
        })
        .await;
    }
    eventually("they are there", async || {
        let shards = fleet.shards().await;
        let is_there =
            |id: usize| peer.is_empty() || shards.get(id).is_some_and(|shard| shard.leader == peer);
        shards.iter().all(|shard| shard.successor.is_empty()) && (0..50).step_by(10).all(is_there)
    })
    .await;
}

/// Says how it went.
fn tell(what: &str, load: &Load, since: u64) {
    let longest = load.gaps(since).longest(|_| true);
    println!(
        "{what}: {} calls failed, {longest:?} at most without an answer for a shard",
        load.failed(since).len()
    );
}
