//! What somebody else did to the keys of the store is noticed, and nothing is written over it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use meshkit_store::{EtcdStore, Expect, StoreError};
use meshkit_testkit::records::{commit, peer, put};

#[tokio::test]
async fn a_log_that_ends_elsewhere_is_left_alone() {
    let cluster = support::shared();
    let options = support::options(cluster);
    let store = EtcdStore::open(&options).await.unwrap();
    let write = |name| vec![put(&peer(name), Expect::Absent)];
    commit(&store, write("a")).await.unwrap();
    let key = format!("{}/tip", options.prefix);
    cluster.ctl(&["put", &key, "something else"]);
    let refused = commit(&store, write("b")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
    assert!(store.damaged().await.contains("restored"));
    let log = cluster.ctl(&["get", &format!("{}/log/", options.prefix), "--prefix", "--keys-only"]);
    assert_eq!(log.split_whitespace().count(), 1, "{log}");
    let refused = EtcdStore::open(&options).await.unwrap_err();
    assert!(refused.report(false).contains("the store is damaged"), "{}", refused.report(false));
}

#[tokio::test]
async fn records_that_no_meshkitd_wrote_are_refused() {
    let cluster = support::shared();
    let options = support::options(cluster);
    drop(EtcdStore::open(&options).await.unwrap());
    for key in ["record/peer/x", "record/planet/x", "record/peer"] {
        let key = format!("{}/{key}", options.prefix);
        cluster.ctl(&["put", &key, "what is this"]);
        let refused = EtcdStore::open(&options).await.unwrap_err().report(false);
        assert!(
            refused.contains("the store is damaged") && refused.contains("record/p")
                || refused.contains("peer/x"),
            "{refused}"
        );
        assert_eq!(cluster.ctl(&["get", &key, "--print-value-only"]).trim(), "what is this");
        cluster.ctl(&["del", &key]);
    }
    EtcdStore::open(&options).await.unwrap();
}
