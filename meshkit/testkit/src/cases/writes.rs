//! Records, versions, fences and guards.

use meshkit_model::{Kind, Namespace, Peer, Shard, ShardStatus};
use meshkit_store::{Expect, Holds, Store, StoreError, Write};

use crate::Subject;
use crate::records::{commit, id, in_version, namespace, peer, put, put_shard, read, shard};

/// What was written is read.
pub async fn records_come_back(mut subject: impl Subject) {
    let written = peer("a");
    let done = commit(&*subject.store().await, vec![put(&written, Expect::Absent)]).await;
    assert_eq!(done.unwrap().versions, [1]);
    let store = subject.store().await;
    assert_eq!(read(&*store, "a").await, Some(in_version(&written, 1)));
    assert_eq!(read::<Peer>(&*store, "b").await, None);
    assert_eq!(read::<Namespace>(&*store, "a").await, None, "kinds are apart");
    let writes = vec![put(&namespace(4), Expect::Absent), put_shard(&shard(3, None, 1), Expect::Absent, 0)];
    commit(&*store, writes).await.unwrap();
    drop(store);
    let store = subject.store().await;
    assert_eq!(read(&*store, "orders").await, Some(in_version(&namespace(4), 1)));
    assert_eq!(read(&*store, "orders/3").await, Some(in_version(&shard(3, None, 1), 1)));
}

async fn all(store: &dyn Store, kinds: &'static [Kind]) -> (u64, Vec<(Kind, String)>) {
    let mut loading = store.load(kinds).await.unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = loading.chunks.recv().await {
        for entry in chunk.unwrap() {
            entry.kind.check(&entry.key, entry.version, &entry.value).unwrap();
            found.push((entry.kind, entry.key));
        }
    }
    (loading.revision, found)
}

/// A load is one snapshot in the order of kind and key, however many chunks it takes.
pub async fn all_kinds_load_at_one_revision(mut subject: impl Subject) {
    const KINDS: &[Kind] = &[Kind::Shard, Kind::Peer];
    let store = subject.store().await;
    assert_eq!(all(&*store, KINDS).await, (0, vec![]));
    for from in [0, 1_000, 2_000] {
        let writes = (from..from + 1_000).map(|n| put_shard(&shard(n, None, 1), Expect::Absent, 0));
        commit(&*store, writes.collect()).await.unwrap();
    }
    commit(&*store, vec![put(&peer("b"), Expect::Absent), put(&peer("a"), Expect::Absent)]).await.unwrap();
    commit(&*store, vec![put(&namespace(4), Expect::Absent)]).await.unwrap();
    drop(store);
    let store = subject.store().await;
    let mut expected: Vec<_> = (0..3_000).map(|n| (Kind::Shard, format!("orders/{n}"))).collect();
    expected.sort();
    expected.extend(["a", "b"].map(|name| (Kind::Peer, name.to_owned())));
    assert_eq!(all(&*store, KINDS).await, (5, expected));
    // Whoever loses interest stops it, and nothing else.
    drop(store.load(KINDS).await.unwrap());
    // What is written while a load runs is not in it.
    let mut loading = store.load(KINDS).await.unwrap();
    commit(&*store, vec![put(&peer("c"), Expect::Absent)]).await.unwrap();
    let mut count = 0;
    while let Some(chunk) = loading.chunks.recv().await {
        count += chunk.unwrap().len();
    }
    assert_eq!((loading.revision, count), (5, 3_002));
}

/// A write has to say what it found.
pub async fn versions_are_checked(mut subject: impl Subject) {
    let write = |expect| vec![put(&peer("a"), expect)];
    commit(&*subject.store().await, write(Expect::Absent)).await.unwrap();
    for (expect, expected) in [(Expect::Absent, "new"), (Expect::Version(0), "0"), (Expect::Version(2), "2")]
    {
        let refused = commit(&*subject.store().await, write(expect)).await.unwrap_err();
        let conflict =
            StoreError::Conflict { record: "peer/a".to_owned(), expected: expected.to_owned(), found: 1 };
        assert_eq!(refused, conflict);
    }
    let done = commit(&*subject.store().await, write(Expect::Version(1))).await.unwrap();
    assert_eq!(done.versions, [2]);
    let unknown = vec![put(&peer("b"), Expect::Version(1))];
    assert!(commit(&*subject.store().await, unknown).await.is_err());
}

/// One write that does not hold undoes all of its mutation.
pub async fn a_mutation_is_whole_or_nothing(mut subject: impl Subject) {
    let store = subject.store().await;
    let first = commit(&*store, vec![put(&peer("a"), Expect::Absent)]).await.unwrap();
    let writes = vec![put(&peer("b"), Expect::Absent), put(&peer("a"), Expect::Absent)];
    assert!(commit(&*store, writes).await.is_err());
    drop(store);
    let store = subject.store().await;
    assert_eq!(read::<Peer>(&*store, "b").await, None);
    let all = meshkit_store::audit::AuditQuery { limit: 10, ..Default::default() };
    assert_eq!(store.audit(all).await.unwrap().len(), 1);
    let next = commit(&*store, vec![put(&peer("c"), Expect::Absent)]).await.unwrap();
    assert_eq!(next.revision, first.revision + 1);
}

/// A deletion takes the version and the fence that it found.
pub async fn records_are_deleted(mut subject: impl Subject) {
    let store = subject.store().await;
    let writes = vec![put(&peer("a"), Expect::Absent), put_shard(&shard(0, Some("a"), 7), Expect::Absent, 0)];
    commit(&*store, writes).await.unwrap();
    drop(store);
    let store = subject.store().await;
    let stale = Write::delete(&in_version(&peer("a"), 2));
    let conflict = StoreError::Conflict { record: "peer/a".to_owned(), expected: "2".to_owned(), found: 1 };
    assert_eq!(commit(&*store, vec![stale]).await.unwrap_err(), conflict);
    let stale = Write::delete(&in_version(&shard(0, Some("a"), 6), 1));
    let fenced = StoreError::StaleFence { record: "shard/orders/0".to_owned(), presented: 6, current: 7 };
    assert_eq!(commit(&*store, vec![stale]).await.unwrap_err(), fenced);
    let writes = vec![
        Write::delete(&in_version(&peer("a"), 1)),
        Write::delete(&in_version(&shard(0, Some("a"), 7), 1)),
    ];
    let done = commit(&*store, writes).await.unwrap();
    assert_eq!(done.versions, [1, 1]);
    drop(store);
    let store = subject.store().await;
    assert_eq!(read::<Peer>(&*store, "a").await, None);
    let changes = store.changes(1, 10).await.unwrap().unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.key.as_str(), &change.value)).collect();
    assert_eq!(told, [("a", &None), ("orders/0", &None)]);
    let again = commit(&*store, vec![put(&peer("a"), Expect::Absent)]).await.unwrap();
    assert_eq!(again.versions, [1]);
}

/// Ownership moves forward alone.
pub async fn fences_are_checked(mut subject: impl Subject) {
    let first = put_shard(&shard(0, Some("a"), 1), Expect::Absent, 0);
    commit(&*subject.store().await, vec![first]).await.unwrap();
    let stale =
        |presented| StoreError::StaleFence { record: "shard/orders/0".to_owned(), presented, current: 1 };
    for (write, why) in [
        (put_shard(&shard(0, Some("b"), 2), Expect::Version(1), 0), "acts under an old fence"),
        (put_shard(&shard(0, Some("a"), 0), Expect::Version(1), 1), "goes back"),
    ] {
        let refused = commit(&*subject.store().await, vec![write]).await.unwrap_err();
        assert_eq!(refused, stale(0), "{why}");
    }
    let moved = put_shard(&shard(0, Some("b"), 1), Expect::Version(1), 1);
    let refused = commit(&*subject.store().await, vec![moved]).await.unwrap_err();
    assert_eq!(refused, stale(1), "a new owner needs a new fence");
    let paused = Shard { status: ShardStatus::Paused, ..shard(0, Some("a"), 1) };
    let same_owner = put_shard(&paused, Expect::Version(1), 1);
    commit(&*subject.store().await, vec![same_owner]).await.unwrap();
    let moved = put_shard(&shard(0, Some("b"), 2), Expect::Version(2), 1);
    commit(&*subject.store().await, vec![moved]).await.unwrap();
}

/// A guard changes nothing and holds up a mutation that rests on something that moved on.
pub async fn guards_are_checked(mut subject: impl Subject) {
    let lease = put_shard(&shard(0, Some("a"), 5), Expect::Absent, 0);
    commit(&*subject.store().await, vec![lease]).await.unwrap();
    let guard = |holds| Write::guard(Kind::Shard, "orders/0", holds);
    let under = |name: &str, guard| vec![guard, put(&peer(name), Expect::Absent)];
    for (holds, good) in [
        (Holds::Fence(5), true),
        (Holds::Fence(4), false),
        (Holds::Fence(0), false),
        (Holds::Version(1), true),
        (Holds::Version(2), false),
        (Holds::Absent, false),
    ] {
        let name = format!("{holds:?}").to_lowercase().replace(['(', ')'], "-");
        let done = commit(&*subject.store().await, under(&name, guard(holds))).await;
        assert_eq!(done.is_ok(), good, "{holds:?}: {done:?}");
        assert_eq!(read::<Peer>(&*subject.store().await, &name).await.is_some(), good);
    }
    let absent = Write::guard(Kind::Shard, "orders/1", Holds::Absent);
    commit(&*subject.store().await, under("new", absent)).await.unwrap();
    let missing = Write::guard(Kind::Shard, "orders/1", Holds::Fence(0));
    assert!(commit(&*subject.store().await, under("never", missing)).await.is_err());
    // Alone it is a question, and answering it is no revision.
    let before = *subject.store().await.revisions().borrow();
    let asked = commit(&*subject.store().await, vec![guard(Holds::Fence(5))]).await.unwrap();
    assert_eq!((asked.revision, asked.versions), (before, vec![1]));
}

/// What breaks a rule of the model or a bound of the store is refused before it is tried.
pub async fn bad_records_are_refused(mut subject: impl Subject) {
    let store = subject.store().await;
    let mut bad = peer("a");
    bad.spec.role.clear();
    assert!(Write::put(&bad, Expect::Absent).is_err());
    assert!(Write::put(&shard(0, None, 1), Expect::Absent).is_err(), "a shard needs a fence");
    assert!(Write::put_fenced(&peer("a"), Expect::Absent, 0).is_err(), "a peer has none");
    let many = (0..1_025).map(|n| put_shard(&shard(n, None, 1), Expect::Absent, 0)).collect();
    let twice = vec![put(&peer("a"), Expect::Absent), put(&peer("a"), Expect::Version(1))];
    let long = vec![Write::guard(Kind::Peer, "x".repeat(257), Holds::Absent)];
    let odd = vec![Write::guard(Kind::Peer, "x\n", Holds::Absent)];
    for writes in [many, twice, long, odd, vec![]] {
        let refused = commit(&*store, writes).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(*store.revisions().borrow(), 0);
}

/// Writers at the same time get revisions of their own, and one that fails disturbs no other.
pub async fn many_writers_at_once(mut subject: impl Subject) {
    let store = subject.store().await;
    let writers = (0..200).map(|n| {
        // Every fourth one does not hold and must not disturb its group.
        let name = format!("p{}", if n % 4 == 3 { 0 } else { n });
        let (store, write) = (&*store, put(&peer(&name), Expect::Absent));
        commit(store, vec![write])
    });
    let mut revisions = Vec::new();
    for outcome in futures_util::future::join_all(writers).await {
        match outcome {
            Ok(done) => revisions.push(done.revision),
            Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error}"),
        }
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=150).collect::<Vec<_>>());
    drop(store);
    let store = subject.store().await;
    let all = meshkit_store::audit::AuditQuery { limit: 1_000, ..Default::default() };
    assert_eq!(store.audit(all).await.unwrap().len(), 150);
    assert_eq!(read::<Peer>(&*store, "p198").await.map(|peer| peer.spec.id), Some(id("p198")));
}

/// Of many who change the same record in the same version one succeeds.
pub async fn one_of_many_rivals_wins(mut subject: impl Subject) {
    let store = subject.store().await;
    commit(&*store, vec![put(&peer("a"), Expect::Absent)]).await.unwrap();
    for version in 1..6 {
        let rivals = (0..20).map(|_| {
            let (store, write) = (&*store, put(&peer("a"), Expect::Version(version)));
            commit(store, vec![write])
        });
        let outcomes = futures_util::future::join_all(rivals).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    }
    assert_eq!(read::<Peer>(&*store, "a").await.map(|peer| peer.record_version), Some(6));
}
