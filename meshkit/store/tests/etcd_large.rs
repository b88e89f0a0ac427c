//! A mutation that one transaction of etcd cannot hold is there wholly or not at all, whenever its writer is killed.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and talks to its child by standard output"
)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use meshkit_model::{Kind, Shard};
use meshkit_store::{EtcdOptions, EtcdStore, Expect, Mutation, PeerQuery, Store, View, Write};
use meshkit_testkit::records::{at, commit, peer, put_shard, shard};

const NODE: &str = "MESHKIT_STORE_LARGE";
const KILLS: usize = 10;
/// Records of a mutation: too many for one transaction, and with their values too large by far.
const RECORDS: usize = 400;

/// All records in one round, each of some 3 KiB.
fn mutation(round: u64) -> Mutation {
    let expect = if round == 1 { Expect::Absent } else { Expect::Version(round - 1) };
    let mut mutation = Mutation::new("tester", "peers.write", at(1));
    for n in 0..RECORDS {
        let mut peer = peer(&format!("p{n}"));
        peer.spec.version = round.to_string();
        peer.spec.labels = (0..12).map(|label| (format!("l{label}"), "v".repeat(250))).collect();
        mutation = mutation.write(Write::put(&peer, expect).unwrap());
    }
    mutation
}

/// The round that every record is of.
async fn round(store: &EtcdStore) -> u64 {
    let view = View::open(Arc::new(store.clone())).await.unwrap();
    let found = view.peers(&PeerQuery { limit: 10_000, ..PeerQuery::default() }).items;
    let rounds: std::collections::BTreeSet<u64> = found.iter().map(|peer| peer.record_version).collect();
    assert!(
        rounds.len() <= 1 && (found.is_empty() || found.len() == RECORDS),
        "{} of {rounds:?}",
        found.len()
    );
    assert!(found.iter().all(|peer| peer.spec.version == peer.record_version.to_string()));
    rounds.first().copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_leaves_all_of_it_or_nothing() {
    if let Ok(place) = std::env::var(NODE) {
        return write_for_ever(&place).await;
    }
    let cluster = support::shared();
    let options = support::options(cluster);
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_writer_leaves_all_of_it_or_nothing", "--nocapture"])
            .env(NODE, support::words(&options))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // At least one more each time, then at any instant: the next one is on its way.
        let mut last = 0;
        while last <= acknowledged {
            let line = lines.next().unwrap().unwrap();
            last = line.strip_prefix("acknowledged ").map_or(last, |round| round.parse().unwrap());
        }
        tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(kill).unwrap() * 7)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let later =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        acknowledged = later.last().unwrap_or(last);
        let store = EtcdStore::open(&options).await.unwrap();
        let found = round(&store).await;
        assert!(found >= acknowledged, "{found} is there, {acknowledged} was acknowledged");
        // Whatever was left half done is finished before the next write.
        let small = shard(u32::try_from(kill).unwrap(), None, 1);
        commit(&store, vec![put_shard(&small, Expect::Absent, 0)]).await.unwrap();
        assert_eq!(round(&store).await, found);
        assert_eq!(cluster.ctl(&["get", &format!("{}/pending", options.prefix), "--keys-only"]), "");
        acknowledged = found;
    }
}

async fn write_for_ever(place: &str) {
    let store = EtcdStore::open(&support::from_words(place)).await.unwrap();
    let mut next = round(&store).await + 1;
    loop {
        store.commit(mutation(next)).await.unwrap();
        println!("\nacknowledged {next}");
        next += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_mutations_are_carried_out_and_others_see_them() {
    let cluster = support::shared();
    let options: EtcdOptions = support::options(cluster);
    let (one, other) = (EtcdStore::open(&options).await.unwrap(), EtcdStore::open(&options).await.unwrap());
    for step in 0..3_u64 {
        let writes = (0..1_024).map(|n| {
            let expect = if step == 0 { Expect::Absent } else { Expect::Version(step) };
            put_shard(&shard(n, None, 1), expect, u64::from(step > 0))
        });
        let store = if step == 1 { &other } else { &one };
        assert_eq!(commit(store, writes.collect()).await.unwrap().versions, vec![step + 1; 1_024]);
        for store in [&one, &other] {
            let found = store.get(Kind::Shard, Shard::key_of("orders", 1_023)).await.unwrap().unwrap();
            assert_eq!(found.version, step + 1);
        }
    }
    assert_eq!(other.changes(0, u32::MAX).await.unwrap().unwrap().len(), 3 * 1_024);
    assert_eq!(one.changes(2, 1).await.unwrap().unwrap().len(), 1_024);
    // A value as large as any may be, replaced by one as large.
    for version in 0..2_u64 {
        let mut mutation = Mutation::new("tester", "peers.write", at(1));
        for n in 0..3 {
            let mut large = peer(&format!("p{n}"));
            large.spec.labels = (0..32).map(|label| (format!("l{label}"), "v".repeat(256))).collect();
            let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
            mutation = mutation.write(Write::put(&large, expect).unwrap());
        }
        one.commit(mutation).await.unwrap();
    }
}
