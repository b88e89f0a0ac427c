//! Revisions, the change log and what is no change.

use meshkit_model::{Kind, Peer};
use meshkit_store::{Expect, Write};

use crate::Subject;
use crate::records::{at, commit, id, in_version, peer, put, read};

/// Each mutation makes one revision, and who has the acknowledgement was told of it.
pub async fn revisions_grow_and_are_told(mut subject: impl Subject) {
    let mut last = 0;
    let identity = subject.store().await.identity().clone();
    for n in 0..5 {
        let store = subject.store().await;
        let done = commit(&*store, vec![put(&peer(&format!("p{n}")), Expect::Absent)]).await.unwrap();
        assert_eq!(done.revision, last + 1);
        last = done.revision;
        drop(store);
        let mut told = subject.store().await.revisions();
        told.wait_for(|revision| *revision >= last).await.unwrap();
    }
    assert_eq!(identity.id.len(), 32);
    assert_eq!(subject.store().await.identity(), &identity);
    assert!(!format!("{identity:?}").contains(&format!("{:?}", identity.token_key.bytes())));
}

/// A heartbeat leaves version, revision and audit as they are.
pub async fn touching_is_no_change(mut subject: impl Subject) {
    let store = subject.store().await;
    commit(&*store, vec![put(&peer("a"), Expect::Absent)]).await.unwrap();
    store.touch(vec![(id("a"), at(5_000)), (id("nobody"), at(5_000))]).await.unwrap();
    drop(store);
    let store = subject.store().await;
    store.touch(vec![(id("a"), at(4_000))]).await.unwrap();
    assert_eq!(store.touched().await.unwrap(), [(id("a"), at(5_000))]);
    assert_eq!(read::<Peer>(&*store, "a").await.unwrap().record_version, 1);
    assert_eq!(*store.revisions().borrow(), 1);
    assert_eq!(store.changes(1, 10).await.unwrap(), Some(vec![]));
    commit(&*store, vec![Write::delete(&in_version(&peer("a"), 1))]).await.unwrap();
    drop(store);
    assert_eq!(subject.store().await.touched().await.unwrap(), [], "gone with its peer");
}

/// Who applies changes never stops within a revision.
pub async fn changes_come_in_whole_revisions(mut subject: impl Subject) {
    assert_eq!(subject.store().await.changes(0, 10).await.unwrap(), Some(vec![]));
    for n in 0..5 {
        let writes = ["x", "y"].map(|x| put(&peer(&format!("{x}{n}")), Expect::Absent));
        commit(&*subject.store().await, writes.into()).await.unwrap();
    }
    let store = subject.store().await;
    let told = async |after, limit| {
        let changes = store.changes(after, limit).await.unwrap().unwrap();
        changes.into_iter().map(|change| (change.revision, change.key)).collect::<Vec<_>>()
    };
    let expected = |revisions: std::ops::RangeInclusive<u64>| {
        revisions.flat_map(|n| ["x", "y"].map(|x| (n, format!("{x}{}", n - 1)))).collect::<Vec<_>>()
    };
    assert_eq!(told(0, 100).await, expected(1..=5));
    assert_eq!(told(2, 100).await, expected(3..=5));
    for limit in [0, 1, 2] {
        assert_eq!(told(2, limit).await, expected(3..=3), "{limit}");
    }
    assert_eq!(told(2, 3).await, expected(3..=4));
    assert_eq!(told(5, 10).await, []);
    assert_eq!(store.changes(9, 10).await.unwrap(), None, "from elsewhere");
    let first = store.changes(0, 1).await.unwrap().unwrap().remove(0);
    assert_eq!((first.kind, first.version), (Kind::Peer, 1));
    assert_eq!(serde_json::from_str::<Peer>(&first.value.unwrap()).unwrap(), in_version(&peer("x0"), 1));
}

/// What is no longer kept is never passed over in silence.
pub async fn changes_are_forgotten(mut subject: impl Subject) {
    const KEPT: u64 = 20;
    const WRITTEN: u64 = 400;
    subject.keep(KEPT);
    let store = subject.store().await;
    for n in 0..WRITTEN {
        commit(&*store, vec![put(&peer(&format!("p{n}")), Expect::Absent)]).await.unwrap();
    }
    drop(store);
    let store = subject.store().await;
    let recent = store.changes(WRITTEN - KEPT, 1_000).await.unwrap().unwrap();
    let revisions: Vec<_> = recent.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (WRITTEN - KEPT + 1..=WRITTEN).collect::<Vec<_>>());
    assert_eq!(store.changes(0, 10).await.unwrap(), None);
    assert_eq!(store.changes(WRITTEN, 10).await.unwrap(), Some(vec![]));
}
