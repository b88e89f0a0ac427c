//! Records to write, and short words to write them with.

use std::collections::BTreeMap;

use meshkit_model::{Namespace, Peer, PeerId, PeerSpec, PeerStatus, Shard, ShardStatus, Strategy, Timestamp};
use meshkit_store::{Committed, Expect, Mutation, Store, StoreError, Write};

pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

pub fn id(id: &str) -> PeerId {
    PeerId::new(id).unwrap()
}

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
        record_version: 0,
    }
}

pub fn namespace(shards: u32) -> Namespace {
    Namespace {
        name: "orders".to_owned(),
        shards,
        service: "greeter".to_owned(),
        strategy: Strategy::Rendezvous,
    }
}

pub fn shard(number: u32, owner: Option<&str>, fence: u64) -> Shard {
    Shard {
        namespace: "orders".to_owned(),
        id: number,
        strategy: Strategy::Rendezvous,
        owner: owner.map(id),
        status: ShardStatus::Active,
        fence,
        record_version: 0,
        changed_at: at(1_000),
    }
}

pub fn put_peer(peer: Peer, expect: Expect) -> Write {
    Write::Peer { peer: Box::new(peer), expect }
}

pub fn put_shard(shard: Shard, expect: Expect, fence: u64) -> Write {
    Write::Shard { shard, expect, fence }
}

pub async fn commit(store: &dyn Store, writes: Vec<Write>) -> Result<Committed, StoreError> {
    let mutation =
        Mutation { actor: "tester".to_owned(), reason: "because".to_owned(), at: at(2_000), writes };
    store.commit(mutation).await
}
