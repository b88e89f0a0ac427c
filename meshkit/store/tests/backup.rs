//! Backup, restore, and files of released schemas.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshkit_model::{Kind, Namespace, Peer, PeerStatus, Shard};
use meshkit_store::audit::{AuditQuery, verify};
use meshkit_store::{
    Expect, Filter, Restore, Rows as _, SqliteOptions, SqliteStore, Start, Store as _, Told, View,
};
use meshkit_testkit::records::{at, commit, id, mutation, peer, put, read};
use omnirelay_runtime::ErrorKind;

/// A store of the first released schema, as `omnirelay up` of that version left it.
const SCHEMA_1: &[u8] = include_bytes!("data/schema-1.db");

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(&SqliteOptions::new(path)).unwrap()
}

fn by_ann() -> Restore<'static> {
    Restore { actor: "ann", now: at(5), replace: false, dry_run: false }
}

async fn audit(store: &SqliteStore) -> Vec<meshkit_store::audit::AuditEntry> {
    store.audit(AuditQuery { oldest_first: true, limit: 10_000, ..AuditQuery::default() }).await.unwrap()
}

#[tokio::test]
async fn a_backup_is_taken_under_load_and_restored() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("mesh.db"), directory.path().join("copy it's.db"));
    let store = open(&path);
    commit(&store, vec![put(&peer("first"), Expect::Absent)]).await.unwrap();
    store.touch(vec![(id("first"), at(9_000))]).await.unwrap();
    let load = async {
        for n in 0..200 {
            commit(&store, vec![put(&peer(&format!("p{n}")), Expect::Absent)]).await.unwrap();
        }
    };
    let (revision, ()) = tokio::join!(store.backup(&copy), load);
    let revision = revision.unwrap();
    assert!((1..=201).contains(&revision));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let refused = store.backup(&copy).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let before = store.identity().clone();
    store.closed().await;

    let refused = SqliteStore::restore(&copy, &path, &by_ann()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "never over a store: {refused}");
    let dry = Restore { replace: true, dry_run: true, ..by_ann() };
    let rehearsed = SqliteStore::restore(&copy, &path, &dry).unwrap();
    assert_eq!((&rehearsed.identity, rehearsed.revision), (&before, revision));
    let aside = rehearsed.aside.unwrap();
    assert!(!aside.exists() && path.exists(), "nothing was written");
    let replace = Restore { replace: true, ..by_ann() };
    let restored = SqliteStore::restore(&copy, &path, &replace).unwrap();
    assert_eq!(restored.aside.as_ref(), Some(&aside));
    let old = open(&aside);
    assert_eq!((old.identity(), *old.revisions().borrow()), (&before, 201), "what was there is kept whole");
    old.closed().await;
    let restored = restored.identity;
    let store = open(&path);
    assert_eq!((store.identity(), &restored.id), (&restored, &before.id));
    assert!(restored.incarnation > before.incarnation);
    assert!(*store.revisions().borrow() > 1_000_000);
    for n in 0..200 {
        let found = read::<Peer>(&store, &format!("p{n}")).await;
        assert_eq!(found.is_some(), n + 1 < revision, "p{n} at {revision}");
    }
    assert_eq!(store.touched().await.unwrap(), [(id("first"), at(9_000))]);
    let entries = audit(&store).await;
    verify(&entries).unwrap();
    let last = entries.last().unwrap();
    assert_eq!((last.actor.as_str(), last.action.as_str()), ("ann", "store.restore"));
    commit(&store, vec![put(&peer("later"), Expect::Absent)]).await.unwrap();
    verify(&audit(&store).await).unwrap();
    let files: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(files.iter().all(|name| !name.to_string_lossy().contains("partial")), "{files:?}");
}

#[tokio::test]
async fn watchers_of_a_store_that_was_restored_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("mesh.db"), directory.path().join("copy.db"));
    let store = open(&path);
    commit(&store, vec![put(&peer("a"), Expect::Absent)]).await.unwrap();
    store.backup(&copy).await.unwrap();
    let peers = || Filter::of([Kind::Peer]);
    let every = Duration::from_secs(3600);
    let view = View::open(Arc::new(store.clone())).await.unwrap();
    view.commit(mutation(vec![put(&peer("lost"), Expect::Absent)])).await.unwrap();
    let (token, revision) = (view.watch(peers(), &Start::Now, every).unwrap().token(), view.revision());
    drop(view);
    store.closed().await;
    std::fs::remove_file(&path).unwrap();
    SqliteStore::restore(&copy, &path, &by_ann()).unwrap();
    let view = View::open(Arc::new(open(&path))).await.unwrap();
    // As many revisions as were lost are made, and none of them is taken for one of those.
    view.commit(mutation(vec![put(&peer("b"), Expect::Absent)])).await.unwrap();
    for start in [Start::Token(token), Start::After(revision)] {
        let told = view.watch(peers(), &start, every).unwrap().next().await.unwrap().unwrap();
        assert!(matches!(told, Told::ResyncRequired { .. }), "{told:?}");
    }
}

#[tokio::test]
async fn what_is_no_backup_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("mesh.db"), directory.path().join("copy.db"));
    let missing = SqliteStore::restore(&copy, &path, &by_ann()).unwrap_err();
    assert!(missing.to_string().contains("no backup"), "{missing}");
    std::fs::write(&copy, "dear diary".repeat(20)).unwrap();
    assert!(SqliteStore::restore(&copy, &path, &by_ann()).is_err());
    assert!(!path.exists(), "nothing was made");
    let store = open(&directory.path().join("other.db"));
    let nowhere = store.backup(&directory.path().join("missing/copy.db")).await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Io);
    let running = SqliteStore::restore(&copy, &directory.path().join("other.db"), &by_ann()).unwrap_err();
    assert!(running.to_string().contains("in use"), "{running}");
}

#[tokio::test]
async fn a_store_of_schema_1_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.db");
    std::fs::write(&path, SCHEMA_1).unwrap();
    // Twice: what was taken over is a store like any other.
    for _open in 0..2 {
        let store = open(&path);
        assert_eq!(store.identity().id, "2b240c28476ec8c2b6d41797becf03cc");
        assert_eq!(*store.revisions().borrow(), 15);
        let entries = audit(&store).await;
        assert_eq!((verify(&entries).unwrap().number, entries.len()), (67, 67));
        assert_eq!(entries[66].record, "shard/inventory/15");
        assert!(entries[66].before.is_some() && entries[66].after.is_some());
        assert_eq!(store.changes(14, 10).await.unwrap(), None, "who watched reads anew");
        assert_eq!(store.changes(15, 10).await.unwrap(), Some(vec![]));
        let view = View::open(Arc::new(store.clone())).await.unwrap();
        let namespace = view.get::<Namespace>("inventory").unwrap();
        assert_eq!((namespace.shards, namespace.record_version), (16, 1));
        let shard = view.get::<Shard>("inventory/15").unwrap();
        assert_eq!((shard.fence, shard.record_version, shard.owner), (3, 3, None));
        let peer = view.get::<Peer>("relay-1").unwrap();
        assert_eq!((peer.status, peer.record_version), (PeerStatus::Left, 2));
        assert_eq!(peer.last_seen_at, at(1_795_266_437_168));
        let tables = view.read();
        assert_eq!((tables.peers().count(), tables.shards().count()), (5, 16));
        drop(tables);
        drop(view);
        store.closed().await;
    }
    let store = open(&path);
    let known = read::<Peer>(&store, "relay-1").await.unwrap();
    let done = commit(&store, vec![put(&known, Expect::Version(2))]).await.unwrap();
    assert_eq!((done.revision, done.versions), (16, vec![3]));
    verify(&audit(&store).await).unwrap();
}

#[tokio::test]
async fn a_damaged_store_of_schema_1_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.db");
    for sql in
        ["UPDATE peers SET status = 'zombie'", "UPDATE shards SET id = -1 WHERE id = 3", "DROP TABLE changes"]
    {
        std::fs::write(&path, SCHEMA_1).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let refused = SqliteStore::open(&SqliteOptions::new(&path)).unwrap_err();
        assert_eq!(refused.to_string(), "the store is damaged", "{sql}");
        assert!(std::fs::read(&path).unwrap() == before, "the file was touched");
    }
}

#[tokio::test]
async fn a_copy_is_one_file_for_as_long_as_it_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("mesh.db"), directory.path().join("mesh.db.copy"));
    let store = open(&path);
    commit(&store, vec![put(&peer("first"), Expect::Absent)]).await.unwrap();
    // Left behind by a process that was killed.
    std::fs::write(&copy, "old").unwrap();
    let mut taken = store.copy().await.unwrap().unwrap();
    assert_eq!((taken.revision, copy.exists()), (1, true));
    let mut bytes = Vec::new();
    taken.file.read_to_end(&mut bytes).unwrap();
    drop(taken);
    assert!(!copy.exists());
    let kept = directory.path().join("kept.db");
    std::fs::write(&kept, bytes).unwrap();
    assert_eq!(SqliteStore::restore(&kept, &directory.path().join("new.db"), &by_ann()).unwrap().revision, 1);
}
