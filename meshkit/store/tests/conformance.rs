//! What every store has to hold, run on SQLite: in one go, and reopened between the steps.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use meshkit_model::{PeerStatus, ShardStatus};
use meshkit_store::{Expect, PeerQuery, ShardQuery, SqliteOptions, SqliteStore, Store, StoreError};
use support::{at, commit, id, namespace, peer, put_peer, put_shard, shard};

/// A store under test, and whether a step begins by closing and opening it again.
struct Bench {
    directory: tempfile::TempDir,
    store: Option<SqliteStore>,
    reopen: bool,
    changes_kept: u64,
}

impl Bench {
    fn new(reopen: bool) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), store: None, reopen, changes_kept: 1_000 }
    }

    fn store(&mut self) -> &dyn Store {
        if self.reopen {
            self.store = None;
        }
        let mut options = SqliteOptions::new(self.directory.path().join("mesh store?.db"));
        options.changes_kept = self.changes_kept;
        options.audit_kept = self.changes_kept;
        self.store.get_or_insert_with(|| SqliteStore::open(&options).unwrap())
    }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            #[tokio::test]
            async fn in_one_go() {
                super::cases::$name(super::Bench::new(false)).await;
            }

            #[tokio::test]
            async fn reopened() {
                super::cases::$name(super::Bench::new(true)).await;
            }
        }
    )* };
}

conformance!(
    records_come_back,
    versions_are_checked,
    a_mutation_is_whole_or_nothing,
    fences_are_checked,
    revisions_grow_and_are_told,
    peers_are_listed_by_filter_and_page,
    shards_are_listed_by_filter_and_page,
    touching_is_no_change,
    audit_tells_before_and_after,
    changes_are_ordered_and_bounded,
    bad_records_are_refused,
    many_writers_at_once,
);

mod cases {
    use super::*;

    pub async fn records_come_back(mut bench: Bench) {
        let written = peer("a");
        let done = commit(bench.store(), vec![put_peer(written.clone(), Expect::Absent)]).await;
        assert_eq!(done.unwrap().versions, [1]);
        let mut expected = written;
        expected.record_version = 1;
        assert_eq!(bench.store().peer(id("a")).await.unwrap(), Some(expected));
        assert_eq!(bench.store().peer(id("b")).await.unwrap(), None);
        let write = meshkit_store::Write::Namespace { namespace: namespace(4), expect: Expect::Absent };
        commit(bench.store(), vec![write, put_shard(shard(3, None, 1), Expect::Absent, 0)]).await.unwrap();
        assert_eq!(bench.store().namespaces().await.unwrap(), [namespace(4)]);
        let mut expected = shard(3, None, 1);
        expected.record_version = 1;
        let found = bench.store().shard("orders".to_owned(), 3).await.unwrap();
        assert_eq!(found, Some(expected));
    }

    pub async fn versions_are_checked(mut bench: Bench) {
        let write = |expect| vec![put_peer(peer("a"), expect)];
        commit(bench.store(), write(Expect::Absent)).await.unwrap();
        for (expect, expected) in
            [(Expect::Absent, "new"), (Expect::Version(0), "0"), (Expect::Version(2), "2")]
        {
            let refused = commit(bench.store(), write(expect)).await.unwrap_err();
            let conflict =
                StoreError::Conflict { record: "peer/a".to_owned(), expected: expected.to_owned(), found: 1 };
            assert_eq!(refused, conflict);
        }
        let done = commit(bench.store(), write(Expect::Version(1))).await.unwrap();
        assert_eq!(done.versions, [2]);
        let unknown = vec![put_peer(peer("b"), Expect::Version(1))];
        assert!(commit(bench.store(), unknown).await.is_err());
    }

    pub async fn a_mutation_is_whole_or_nothing(mut bench: Bench) {
        let first = commit(bench.store(), vec![put_peer(peer("a"), Expect::Absent)]).await;
        let writes = vec![put_peer(peer("b"), Expect::Absent), put_peer(peer("a"), Expect::Absent)];
        assert!(commit(bench.store(), writes).await.is_err());
        assert_eq!(bench.store().peer(id("b")).await.unwrap(), None);
        assert_eq!(bench.store().audit(10).await.unwrap().len(), 1);
        let next = commit(bench.store(), vec![put_peer(peer("c"), Expect::Absent)]).await;
        assert_eq!(next.unwrap().revision, first.unwrap().revision + 1);
    }

    pub async fn fences_are_checked(mut bench: Bench) {
        let first = put_shard(shard(0, Some("a"), 1), Expect::Absent, 0);
        commit(bench.store(), vec![first]).await.unwrap();
        let stale =
            |presented| StoreError::StaleFence { record: "shard/orders/0".to_owned(), presented, current: 1 };
        for (write, why) in [
            (put_shard(shard(0, Some("b"), 2), Expect::Version(1), 0), "acts under an old fence"),
            (put_shard(shard(0, Some("a"), 0), Expect::Version(1), 1), "goes back"),
        ] {
            let refused = commit(bench.store(), vec![write]).await.unwrap_err();
            assert_eq!(refused, stale(0), "{why}");
        }
        let moved = put_shard(shard(0, Some("b"), 1), Expect::Version(1), 1);
        let refused = commit(bench.store(), vec![moved]).await.unwrap_err();
        assert_eq!(refused, stale(1), "a new owner needs a new fence");
        let paused = meshkit_model::Shard { status: ShardStatus::Paused, ..shard(0, Some("a"), 1) };
        let same_owner = put_shard(paused, Expect::Version(1), 1);
        commit(bench.store(), vec![same_owner]).await.unwrap();
        let moved = put_shard(shard(0, Some("b"), 2), Expect::Version(2), 1);
        commit(bench.store(), vec![moved]).await.unwrap();
    }

    pub async fn revisions_grow_and_are_told(mut bench: Bench) {
        let mut last = 0;
        for n in 0..5 {
            let write = put_peer(peer(&format!("p{n}")), Expect::Absent);
            let done = commit(bench.store(), vec![write]).await.unwrap();
            assert_eq!(done.revision, last + 1);
            last = done.revision;
            let mut told = bench.store().revisions();
            told.wait_for(|revision| *revision >= last).await.unwrap();
        }
        let page = PeerQuery { limit: 1, ..PeerQuery::default() };
        assert_eq!(bench.store().peers(page).await.unwrap().revision, last);
        let identity = bench.store().identity().clone();
        assert_eq!(identity.id.len(), 32);
        assert_eq!(bench.store().identity(), &identity);
    }

    pub async fn peers_are_listed_by_filter_and_page(mut bench: Bench) {
        for n in 0..7 {
            let mut peer = peer(&format!("p{n}"));
            if n % 2 == 1 {
                "relay".clone_into(&mut peer.spec.role);
                peer.status = PeerStatus::Dead;
            }
            let write = put_peer(peer, Expect::Absent);
            commit(bench.store(), vec![write]).await.unwrap();
        }
        let mut query = PeerQuery { limit: 3, ..PeerQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = bench.store().peers(query.clone()).await.unwrap();
            assert!(page.items.len() <= 3);
            seen.extend(page.items.into_iter().map(|peer| peer.spec.id.to_string()));
            query.after = seen.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
        let filtered = PeerQuery {
            role: Some("relay".to_owned()),
            service: Some("greeter".to_owned()),
            cluster: Some(String::new()),
            status: Some(PeerStatus::Dead),
            after: Some("p1".to_owned()),
            limit: 2,
        };
        let page = bench.store().peers(filtered).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|p| p.spec.id.as_str()).collect();
        assert_eq!((ids, page.more), (vec!["p3", "p5"], false));
    }

    pub async fn shards_are_listed_by_filter_and_page(mut bench: Bench) {
        let write = |n| {
            let owner = ["a", "b"].get(n as usize % 3).copied();
            put_shard(shard(n, owner, 1), Expect::Absent, 0)
        };
        let writes = (0..300).map(write).collect();
        commit(bench.store(), writes).await.unwrap();
        let query = ShardQuery {
            namespace: Some("orders".to_owned()),
            after: Some(("orders".to_owned(), 255)),
            limit: 2,
            ..ShardQuery::default()
        };
        let page = bench.store().shards(query).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|shard| shard.id).collect();
        assert_eq!((ids, page.more), (vec![256, 257], true));
        for (owner, count) in [("a", 100), ("", 100), ("c", 0)] {
            let query = ShardQuery {
                owner: Some(owner.to_owned()),
                status: Some(ShardStatus::Active),
                limit: 1_000,
                ..ShardQuery::default()
            };
            let page = bench.store().shards(query).await.unwrap();
            assert_eq!((page.items.len(), page.more), (count, false), "{owner}");
        }
    }

    pub async fn touching_is_no_change(mut bench: Bench) {
        let write = put_peer(peer("a"), Expect::Absent);
        commit(bench.store(), vec![write]).await.unwrap();
        let heard = vec![(id("a"), at(5_000)), (id("nobody"), at(5_000))];
        bench.store().touch(heard).await.unwrap();
        bench.store().touch(vec![(id("a"), at(4_000))]).await.unwrap();
        let found = bench.store().peer(id("a")).await.unwrap().unwrap();
        assert_eq!(found.last_seen_at, at(5_000));
        assert_eq!(found.record_version, 1);
        assert_eq!(*bench.store().revisions().borrow(), 1);
        assert_eq!(bench.store().audit(10).await.unwrap().len(), 1);
    }

    pub async fn audit_tells_before_and_after(mut bench: Bench) {
        for expect in [Expect::Absent, Expect::Version(1)] {
            let write = put_peer(peer("a"), expect);
            commit(bench.store(), vec![write]).await.unwrap();
        }
        let entries = bench.store().audit(1).await.unwrap();
        let [entry] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!((entry.number, entry.revision, entry.at), (2, 2, at(2_000)));
        assert_eq!((entry.actor.as_str(), entry.reason.as_str()), ("tester", "because"));
        assert_eq!(entry.record, "peer/a");
        assert!(entry.before.as_ref().unwrap().contains("\"recordVersion\":1"));
        assert!(entry.after.contains("\"recordVersion\":2"));
    }

    pub async fn changes_are_ordered_and_bounded(mut bench: Bench) {
        bench.changes_kept = 6;
        assert_eq!(bench.store().changes(0, 10).await.unwrap(), Some(vec![]));
        for n in 0..5 {
            let writes = ["x", "y"].map(|x| put_peer(peer(&format!("{x}{n}")), Expect::Absent));
            commit(bench.store(), writes.into()).await.unwrap();
        }
        // Ten rows were written in five revisions; the last six rows are kept.
        let changes = bench.store().changes(2, 10).await.unwrap().unwrap();
        let told: Vec<_> = changes.iter().map(|change| (change.revision, change.record.as_str())).collect();
        assert_eq!(
            told,
            [(3, "peer/x2"), (3, "peer/y2"), (4, "peer/x3"), (4, "peer/y3"), (5, "peer/x4"), (5, "peer/y4")]
        );
        assert_eq!(bench.store().changes(3, 1).await.unwrap().unwrap().len(), 1);
        assert_eq!(bench.store().changes(5, 10).await.unwrap(), Some(vec![]));
        assert_eq!(bench.store().changes(1, 10).await.unwrap(), None, "forgotten");
        assert_eq!(bench.store().changes(9, 10).await.unwrap(), None, "from elsewhere");
        assert_eq!(bench.store().audit(100).await.unwrap().len(), 6);
    }

    pub async fn bad_records_are_refused(mut bench: Bench) {
        let mut bad = peer("a");
        bad.spec.role.clear();
        let refused = commit(bench.store(), vec![put_peer(bad, Expect::Absent)]).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        let many = (0..1_025).map(|n| put_shard(shard(n, None, 1), Expect::Absent, 0));
        let refused = commit(bench.store(), many.collect()).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        assert_eq!(*bench.store().revisions().borrow(), 0);
    }

    pub async fn many_writers_at_once(mut bench: Bench) {
        let store = bench.store();
        let writers = (0..200).map(|n| {
            // Every fourth one does not hold and must not disturb its group.
            let name = format!("p{}", if n % 4 == 3 { 0 } else { n });
            commit(store, vec![put_peer(peer(&name), Expect::Absent)])
        });
        let mut revisions = Vec::new();
        for outcome in futures_util::future::join_all(writers).await {
            match outcome {
                Ok(done) => revisions.push(done.revision),
                Err(error) => assert!(matches!(error, StoreError::Conflict { .. })),
            }
        }
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=150).collect::<Vec<_>>());
        assert_eq!(bench.store().audit(1_000).await.unwrap().len(), 150);
    }
}
