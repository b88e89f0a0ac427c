//! Views over a store.

use meshkit_model::{Namespace, Peer, PeerStatus, Shard, ShardStatus};
use meshkit_store::{Expect, PeerQuery, Rows as _, ShardQuery, View, Write};

use crate::Subject;
use crate::records::{at, commit, id, in_version, mutation, namespace, peer, put, put_shard, shard};

/// A read after a write sees it, whatever the store has to do for it.
pub async fn a_view_reads_what_it_wrote(mut subject: impl Subject) {
    let view = View::open(subject.store().await).await.unwrap();
    for n in 1..50 {
        let key = format!("p{n}");
        let done = view.commit(mutation(vec![put(&peer(&key), Expect::Absent)])).await.unwrap();
        assert_eq!(view.get::<Peer>(&key), Some(in_version(&peer(&key), 1)));
        assert_eq!((view.revision(), done.revision), (n, n));
    }
    let refused = view.commit(mutation(vec![put(&peer("p1"), Expect::Absent)])).await;
    assert!(refused.is_err());
    view.touch(vec![(id("p1"), at(9_000))]).await.unwrap();
    assert_eq!(view.get::<Peer>("p1").unwrap().last_seen_at, at(9_000));
    // A record that was read before the heartbeat does not take it back.
    let dead = Peer { status: PeerStatus::Dead, ..in_version(&peer("p1"), 1) };
    view.commit(mutation(vec![put(&dead, Expect::Version(1))])).await.unwrap();
    assert_eq!(view.get::<Peer>("p1").unwrap().last_seen_at, at(9_000));
    view.commit(mutation(vec![Write::delete(&in_version(&peer("p2"), 1))])).await.unwrap();
    assert_eq!(view.get::<Peer>("p2"), None);
    drop(view);
    let view = View::open(subject.store().await).await.unwrap();
    assert_eq!(view.get::<Peer>("p1").unwrap().last_seen_at, at(9_000), "it was noted");
    assert_eq!((view.revision(), view.read().peers().count()), (51, 48));
}

/// What is written elsewhere arrives, a revision at a time.
pub async fn a_view_follows_others(mut subject: impl Subject) {
    let store = subject.store().await;
    let (one, other) = (View::open(store.clone()).await.unwrap(), View::open(store.clone()).await.unwrap());
    let mut told = other.revisions();
    for n in 0..20 {
        let writes = ["x", "y"].map(|x| put(&peer(&format!("{x}{n}")), Expect::Absent));
        let done = one.commit(mutation(writes.into())).await.unwrap();
        told.wait_for(|revision| *revision >= done.revision).await.unwrap();
        let tables = other.read();
        assert_eq!(tables.peers().count() as u64, 2 * tables.revision());
    }
    let page = other.list::<Namespace>(None, 10);
    assert_eq!((page.items.len(), page.more, page.revision), (0, false, 20));
    one.commit(mutation(vec![put(&namespace(4), Expect::Absent)])).await.unwrap();
    told.wait_for(|revision| *revision >= 21).await.unwrap();
    assert_eq!(other.list::<Namespace>(None, 10).items, [in_version(&namespace(4), 1)]);
    assert_eq!(other.list::<Namespace>(Some("orders"), 10).items, []);
}

/// Pages hold what the filters ask for, each once and in order.
pub async fn a_view_pages_through_what_it_filters(mut subject: impl Subject) {
    let store = subject.store().await;
    for n in 0..7 {
        let mut peer = peer(&format!("p{n}"));
        if n % 2 == 1 {
            "relay".clone_into(&mut peer.spec.role);
            peer.status = PeerStatus::Dead;
        }
        commit(&*store, vec![put(&peer, Expect::Absent)]).await.unwrap();
    }
    let writes = (0..300).map(|n| {
        let owner = ["a", "b"].get(n as usize % 3).copied();
        put_shard(&shard(n, owner, 1), Expect::Absent, 0)
    });
    commit(&*store, writes.collect()).await.unwrap();
    drop(store);
    let view = View::open(subject.store().await).await.unwrap();

    let mut query = PeerQuery { limit: 3, ..PeerQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = view.peers(&query);
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
    let page = view.peers(&filtered);
    let ids: Vec<_> = page.items.iter().map(|p| p.spec.id.as_str()).collect();
    assert_eq!((ids, page.more), (vec!["p3", "p5"], false));
    let nobody = PeerQuery { role: Some("none".to_owned()), ..filtered };
    assert_eq!(view.peers(&nobody).items, []);

    let query = ShardQuery {
        namespace: Some("orders".to_owned()),
        after: Some(("orders".to_owned(), 255)),
        limit: 2,
        ..ShardQuery::default()
    };
    let page = view.shards(&query);
    let ids: Vec<_> = page.items.iter().map(|shard| shard.id).collect();
    assert_eq!((ids, page.more), (vec![256, 257], true));
    for (owner, count) in [("a", 100), ("", 100), ("c", 0)] {
        for namespace in [None, Some("orders".to_owned())] {
            let query = ShardQuery {
                namespace,
                owner: Some(owner.to_owned()),
                status: Some(ShardStatus::Active),
                limit: 1_000,
                ..ShardQuery::default()
            };
            let page = view.shards(&query);
            assert_eq!((page.items.len(), page.more), (count, false), "{owner}");
        }
        assert_eq!(view.read().shards().count_by_owner(owner), count);
    }
    let other = ShardQuery { namespace: Some("other".to_owned()), limit: 9, ..ShardQuery::default() };
    assert_eq!(view.shards(&other).items, []);
    // An owner's shards follow it.
    let moved = shard(0, Some("c"), 2);
    view.commit(mutation(vec![put_shard(&moved, Expect::Version(1), 1)])).await.unwrap();
    let owned = ShardQuery { owner: Some("c".to_owned()), limit: 9, ..ShardQuery::default() };
    assert_eq!(view.shards(&owned).items, [std::sync::Arc::new(in_version(&moved, 2))]);
    assert_eq!(view.read().shards().count_by_owner("a"), 99);
    view.commit(mutation(vec![Write::delete(&in_version(&moved, 2))])).await.unwrap();
    assert_eq!(view.get::<Shard>("orders/0"), None);
    assert_eq!((view.shards(&owned).items.len(), view.read().shards().count()), (0, 299));
}

/// A view that cannot catch up by changes reads everything anew.
pub async fn a_view_survives_forgotten_changes(mut subject: impl Subject) {
    subject.keep(10);
    let store = subject.store().await;
    let view = View::open(store.clone()).await.unwrap();
    let mut told = view.revisions();
    for round in 0..20 {
        // More changes at once than are kept: on one thread the view runs only after them.
        let writes = (0..30).map(|n| {
            let write = put(&peer(&format!("p{round}-{n}")), Expect::Absent);
            commit(&*store, vec![write])
        });
        for done in futures_util::future::join_all(writes).await {
            done.unwrap();
        }
        let expected = 30 * (round + 1);
        told.wait_for(|revision| *revision >= expected).await.unwrap();
        assert_eq!(view.read().peers().count() as u64, expected);
    }
}
