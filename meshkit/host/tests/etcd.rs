//! Several meshkitd on one etcd: what one wrote the others show, through deaths of either.
#![cfg(unix)]
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

use meshkit_client::{PeerFilter, v1};
use relay_core::{Code, Protocol};
use relay_testkit::EtcdCluster;
use support::etcd::{PREFIX, bench};
use support::{ADMIN, Ask, Bench, Meshkitd, OPERATOR, READER, eventually, peer};

async fn ids(bench: &Bench, meshkitd: &Meshkitd) -> Vec<String> {
    let client = bench.client(meshkitd, Protocol::Http2, READER);
    let peers = client.peers(PeerFilter::default()).await.unwrap().value;
    peers.into_iter().map(|peer: v1::Peer| peer.id).collect()
}

async fn register(bench: &Bench, meshkitd: &Meshkitd, id: &str) {
    bench.client(meshkitd, Protocol::Http2, OPERATOR).register(peer(id, "greeter")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_wrote_all_show_and_no_death_loses_it() {
    let cluster = EtcdCluster::start(3);
    let mut cluster = cluster.with_users(PREFIX);
    let bench = bench(&cluster);
    let mut first = bench.start(&["--set", "node.name=first"]);
    let second = bench.start(&["--set", "node.name=second"]);
    let refused = bench.client(&second, Protocol::Http2, ADMIN).take_backup().await.unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert!(refused.hint.unwrap().contains("etcdctl snapshot save"));
    let mut expected = Vec::new();
    for round in 0..5 {
        for n in 0..4 {
            let id = format!("p{round}-{n}");
            register(&bench, if n % 2 == 0 { &first } else { &second }, &id).await;
            expected.push(id);
        }
        // Acknowledged, so there; dead at once after.
        first.kill();
        first = bench.start(&["--set", "node.name=first"]);
        assert_eq!(ids(&bench, &first).await, expected);
        eventually("the other one shows it too", async || ids(&bench, &second).await == expected).await;
        cluster.kill(round % 3);
        register(&bench, &second, &format!("p{round}-x")).await;
        expected.push(format!("p{round}-x"));
        cluster.restart(round % 3);
        cluster.wait();
    }
    assert!(!first.log().contains(EtcdCluster::PASSWORD) && !second.log().contains(EtcdCluster::PASSWORD));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_that_etcd_is_away_and_that_it_is_back() {
    let cluster = EtcdCluster::start(3);
    let cluster = cluster.with_users(PREFIX);
    let bench = bench(&cluster);
    let meshkitd = bench.start(&[]);
    register(&bench, &meshkitd, "before").await;
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    eventually("ready", async || Ask::get(&channel, "/readyz").send().await.status == 200).await;
    (0..3).for_each(|member| cluster.pause(member));
    eventually("not ready", async || {
        let answer = Ask::get(&channel, "/readyz").send().await;
        let reason = answer.json()["reasons"]["store"].as_str().unwrap_or_default().to_owned();
        answer.status == 503 && reason.contains("etcd does not answer")
    })
    .await;
    // Reads go on from memory; a write ends with a word about what became of it.
    assert_eq!(ids(&bench, &meshkitd).await, ["before"]);
    let client = bench.client(&meshkitd, Protocol::Http2, OPERATOR);
    let refused = client.register(peer("meanwhile", "greeter")).await.unwrap_err();
    assert!(refused.message.contains("unknown") || refused.message.contains("unavailable"), "{refused:?}");
    (0..3).for_each(|member| cluster.proceed(member));
    eventually("ready again", async || Ask::get(&channel, "/readyz").send().await.status == 200).await;
    register(&bench, &meshkitd, "after").await;
    assert!(ids(&bench, &meshkitd).await.contains(&"after".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_to_one_is_alive_to_all() {
    let cluster = EtcdCluster::start(3);
    let cluster = cluster.with_users(PREFIX);
    let bench = bench(&cluster);
    let quick = ["--set", "registry.heartbeat_interval_ms=100", "--set", "registry.suspect_after_ms=2500"];
    let quick = [quick.as_slice(), &["--set", "registry.dead_after_ms=4000"]].concat();
    let (first, second) = (bench.start(&quick), bench.start(&quick));
    register(&bench, &first, "speaks").await;
    register(&bench, &first, "silent").await;
    let client = bench.client(&first, Protocol::Http2, OPERATOR);
    let heart = omnirelay_runtime::spawn("heart", async move {
        let mut beats = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            beats.tick().await;
            client.heartbeat("speaks", false).await.unwrap();
        }
    });
    let status = async |id: &str| {
        let answer = bench.client(&second, Protocol::Http2, READER).get_peer(id).await;
        answer.unwrap().value.status()
    };
    eventually("the silent one is dead", async || status("silent").await == v1::PeerStatus::Dead).await;
    assert_eq!(status("speaks").await, v1::PeerStatus::Alive);
    heart.abort();
}

/// Starting fails with an exit code and one error that says what, where, why and what to do.
fn check(bench: &Bench, args: &[&str], code: i32, words: &[&str]) {
    let output = bench.refused(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for word in words.iter().chain(&["where:", "cause:", "hint:"]) {
        assert!(stderr.contains(word), "{word} is missing in:\n{stderr}");
    }
    assert!(!stderr.contains("panic") && !stderr.contains(EtcdCluster::PASSWORD), "{stderr}");
}

#[test]
fn an_etcd_that_cannot_be_used_is_refused() {
    let cluster = EtcdCluster::start(1);
    let cluster = cluster.with_users(PREFIX);
    let bench = bench(&cluster);
    let set = |set: &'static str| ["--set", set];
    check(
        &bench,
        &set("store.endpoints=[\"https://127.0.0.1:9\"]"),
        7,
        &["etcd cannot be reached", "127.0.0.1:9"],
    );
    check(&bench, &set("store.prefix=/elsewhere"), 4, &["etcd refuses the user", "permission denied"]);
    check(&bench, &set("store.user=nobody"), 4, &["etcd refuses the user", "store.password_file"]);
    check(&bench, &set("store.password_file=/nowhere"), 3, &["the password", "/nowhere"]);
    cluster.ctl(&["put", "/omnirelay/mesh/meta", "\u{8}\u{2}"]);
    check(&bench, &[], 3, &["made by a newer meshkitd", "layout 2"]);
    cluster.ctl(&["put", "/omnirelay/mesh/meta", "what is this"]);
    check(&bench, &[], 3, &["the store is damaged"]);
    cluster.ctl(&["del", "/omnirelay/mesh/meta"]);
    cluster.ctl(&["put", "/omnirelay/mesh/notes", "dear diary"]);
    check(&bench, &[], 3, &["holds something else", "/omnirelay/mesh/notes"]);
    assert_eq!(
        cluster.ctl(&["get", "/omnirelay", "--prefix", "--keys-only"]).trim(),
        "/omnirelay/mesh/notes"
    );
}
