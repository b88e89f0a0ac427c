#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use super::super::key::shard_of_key;
use super::*;

fn shard(id: u32, owner: &str, version: u64) -> v1::Shard {
    v1::Shard {
        shard_namespace: "stock".to_owned(),
        id,
        owner: owner.to_owned(),
        fence: version,
        record_version: version,
        phase: OwnershipPhase::Active.into(),
        checksum: u64::from(id) + 1,
        ..v1::Shard::default()
    }
}

fn part(shards: &[v1::Shard]) -> v1::WatchShardsResponse {
    v1::WatchShardsResponse { snapshot: shards.to_vec(), ..Default::default() }
}

fn end(revision: u64, shards: u64, checksum: u64, size: u32) -> v1::WatchShardsResponse {
    let namespaces = match size {
        0 => Vec::new(),
        shards => vec![v1::NamespaceSize { name: "stock".to_owned(), shards }],
    };
    let complete = v1::SnapshotComplete { revision, shards, checksum, namespaces };
    v1::WatchShardsResponse { complete: Some(complete), ..Default::default() }
}

fn event(
    kind: WatchEventType,
    revision: u64,
    key: &str,
    shard: Option<v1::Shard>,
) -> v1::WatchShardsResponse {
    let event = v1::WatchEvent { r#type: kind.into(), key: key.to_owned(), revision, ..Default::default() };
    v1::WatchShardsResponse { event: Some(event), shard, ..Default::default() }
}

fn full() -> ShardMap {
    let map = ShardMap::new();
    map.apply(&part(&[shard(0, "a", 1), shard(1, "b", 1)])).unwrap();
    map.apply(&end(7, 2, 1 ^ 2, 2)).unwrap();
    map
}

fn owner(map: &ShardMap, id: u32) -> Option<String> {
    map.get("stock", id)?.owner.map(|owner| owner.to_string())
}

#[test]
fn nothing_shows_before_the_end_of_a_snapshot() {
    let map = ShardMap::new();
    map.apply(&part(&[shard(0, "a", 1)])).unwrap();
    assert_eq!((map.lookup("stock", b"k"), map.version(), map.age()), (None, 0, None));
    let map = full();
    assert_eq!((owner(&map, 0).as_deref(), map.version()), (Some("a"), 7));
    assert!(map.age().is_some());
    assert_eq!(map.lookup("stock", b"order-1").unwrap().shard, shard_of_key(b"order-1", 2));
    assert_eq!(map.lookup("other", b"k"), None);
}

#[test]
fn half_a_snapshot_or_none_takes_nothing_away() {
    let map = full();
    // A stream that ends early, an empty one without its mark, and one whose parts were lost.
    map.apply(&part(&[])).unwrap();
    assert!(owner(&map, 1).is_some());
    assert!(matches!(map.apply(&end(9, 2, 3, 2)), Err(MapError::Incomplete(_))));
    map.apply(&part(&[shard(0, "x", 9)])).unwrap();
    assert!(matches!(map.apply(&end(9, 1, 99, 2)), Err(MapError::Incomplete(_))));
    assert_eq!((owner(&map, 0).as_deref(), map.version()), (Some("a"), 7));
    // An empty one with its mark is the truth.
    map.apply(&end(9, 0, 0, 0)).unwrap();
    assert_eq!((map.get("stock", 0), map.version()), (None, 9));
}

#[test]
fn events_come_in_order_and_older_ones_change_nothing() {
    let map = full();
    map.apply(&event(WatchEventType::Put, 8, "stock/0", Some(shard(0, "c", 3)))).unwrap();
    map.apply(&event(WatchEventType::Put, 8, "stock/0", Some(shard(0, "b", 2)))).unwrap();
    assert_eq!((owner(&map, 0).as_deref(), map.version()), (Some("c"), 8));
    map.apply(&event(WatchEventType::Bookmark, 11, "", None)).unwrap();
    assert_eq!(map.version(), 11);
    let new = v1::Shard { shard_namespace: "new".to_owned(), ..shard(0, "a", 1) };
    let missed = map.apply(&event(WatchEventType::Put, 12, "new/0", Some(new)));
    assert!(matches!(missed, Err(MapError::Missed(_))), "its size is not known");
    assert!(map.apply(&event(WatchEventType::ResyncRequired, 0, "", None)).is_err());
    map.apply(&event(WatchEventType::Deleted, 13, "stock/0", None)).unwrap();
    assert_eq!(owner(&map, 0), None);
    assert_eq!(map.shards("stock"), Some(2));
    map.apply(&event(WatchEventType::Deleted, 14, "stock/1", None)).unwrap();
    assert_eq!(map.shards("stock"), None);
}
