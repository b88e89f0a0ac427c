//! Records to write, and short words to write them with.

use std::collections::BTreeMap;

use meshkit_model::{Namespace, Peer, PeerId, PeerSpec, PeerStatus, Record, Shard, Timestamp};
use meshkit_store::{Committed, Expect, Mutation, Store, StoreError, Write};

/// A time in milliseconds.
#[must_use]
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// A peer's id.
#[must_use]
pub fn id(id: &str) -> PeerId {
    PeerId::new(id).unwrap()
}

/// A peer of the service `greeter`.
#[must_use]
pub fn peer(name: &str) -> Peer {
    Peer {
        spec: PeerSpec {
            id: id(name),
            role: "service".to_owned(),
            service: "greeter".to_owned(),
            cluster: String::new(),
            zone: String::new(),
            version: String::new(),
            endpoints: Vec::new(),
            labels: BTreeMap::new(),
        },
        status: PeerStatus::Alive,
        registered_at: at(1_000),
        last_seen_at: at(1_000),
        hold: None,
        leaving: false,
        label_patch: Default::default(),
        record_version: 0,
    }
}

/// The namespace `orders`.
#[must_use]
pub fn namespace(shards: u32) -> Namespace {
    Namespace::new("orders", shards, "greeter")
}

/// A shard of the namespace `orders`.
#[must_use]
pub fn shard(number: u32, owner: Option<&str>, fence: u64) -> Shard {
    Shard { owner: owner.map(id), fence, ..Shard::new(&namespace(1), number, at(1_000)) }
}

/// Writes a record without a fence.
#[must_use]
pub fn put<R: Record>(record: &R, expect: Expect) -> Write {
    Write::put(record, expect).unwrap()
}

/// Writes a shard under a fence.
#[must_use]
pub fn put_shard(shard: &Shard, expect: Expect, acting: u64) -> Write {
    Write::put_fenced(shard, expect, acting).unwrap()
}

/// A mutation as the tests make it.
#[must_use]
pub fn mutation(writes: Vec<Write>) -> Mutation {
    let mutation = Mutation::new("tester", "test.write", at(2_000)).reason("because").ticket("T-1");
    Mutation { writes, ..mutation }
}

/// Commits writes.
///
/// # Errors
/// As the store says.
pub async fn commit(store: &dyn Store, writes: Vec<Write>) -> Result<Committed, StoreError> {
    store.commit(mutation(writes)).await
}

/// Reads one record.
pub async fn read<R: Record>(store: &dyn Store, key: &str) -> Option<R> {
    let entry = store.get(R::KIND, key.to_owned()).await.unwrap()?;
    let record: R = serde_json::from_str(&entry.value).unwrap();
    assert_eq!((entry.kind, entry.key.as_str(), entry.version), (R::KIND, key, record.version()));
    Some(record)
}

/// A record as a commit leaves it.
#[must_use]
pub fn in_version<R: Record>(record: &R, version: u64) -> R {
    let mut record = record.clone();
    record.set_version(version);
    record
}
