//! When peers were heard last: an observation that belongs to no revision, so it goes beside the log.
//!
//! Heartbeats of all peers are noted every second. They lie in a few buckets instead of a key a peer,
//! and a bucket is replaced only as it was read, so that nodes do not undo each other's.

use std::collections::{BTreeMap, HashMap};

use meshkit_etcd::api::{KeyValue, TxnRequest};
use meshkit_etcd::prefix_end;
use meshkit_model::placement::hash;
use meshkit_model::{Kind, PeerId, Timestamp};
use prost::Message as _;
use tokio::sync::Mutex;

use super::layout::{Heard, Touched};
use super::requests::{found, get, put, range, read, txn, unchanged};
use super::shared::{PATIENCE, Shared, unavailable};
use crate::error::StoreError;

/// Buckets; one holds a few hundred peers of a large mesh.
const BUCKETS: u64 = 64;
/// Buckets of one transaction.
const AT_ONCE: usize = 16;
/// How often a bucket is tried that other nodes change all the time.
const ROUNDS: usize = 16;

/// The buckets as they were read or written last.
#[derive(Debug, Default)]
pub(super) struct Buckets(Mutex<HashMap<u8, Bucket>>);

#[derive(Clone, Debug, Default)]
struct Bucket {
    mod_revision: i64,
    heard: BTreeMap<String, Heard>,
}

impl Bucket {
    fn read(kv: Option<&KeyValue>) -> Result<Self, StoreError> {
        let Some(kv) = kv else { return Ok(Self::default()) };
        let touched = Touched::decode(kv.value.as_slice())
            .map_err(|error| StoreError::Damaged(format!("times that peers were heard: {error}")))?;
        let heard = touched.heard.into_iter().map(|heard| (heard.peer.clone(), heard)).collect();
        Ok(Self { mod_revision: kv.mod_revision, heard })
    }
}

impl Shared {
    pub(super) async fn touch(
        &self,
        buckets: &Buckets,
        heard: &[(PeerId, Timestamp)],
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<u8, Vec<Heard>> = BTreeMap::new();
        {
            let replica = self.replica();
            for (id, at) in heard {
                let Some(peer) = replica.get(Kind::Peer, id.as_str()) else { continue };
                let heard = Heard { peer: id.to_string(), at: at.as_millisecond(), made: peer.made };
                wanted.entry(bucket_of(id)).or_default().push(heard);
            }
        }
        let mut buckets = buckets.0.lock().await;
        let wanted: Vec<(u8, Vec<Heard>)> = wanted.into_iter().collect();
        for some in wanted.chunks(AT_ONCE) {
            self.touch_some(&mut buckets, some).await?;
        }
        Ok(())
    }

    async fn touch_some(
        &self,
        known: &mut HashMap<u8, Bucket>,
        wanted: &[(u8, Vec<Heard>)],
    ) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let merged: Vec<(u8, Bucket)> = wanted
                .iter()
                .map(|(number, heard)| (*number, self.merged(known.get(number), heard)))
                .collect();
            let answer = self.client.txn(self.replace(&merged), PATIENCE).await;
            let answer = answer.map_err(|error| unavailable(&error))?;
            if answer.succeeded {
                let mod_revision = answer.header.unwrap_or_default().revision;
                known.extend(
                    merged.into_iter().map(|(number, bucket)| (number, Bucket { mod_revision, ..bucket })),
                );
                return Ok(());
            }
            for ((number, _), kvs) in wanted.iter().zip(found(answer)) {
                known.insert(*number, self.noted(Bucket::read(kvs.first()))?);
            }
        }
        Err(StoreError::Unavailable("other nodes note heartbeats all the time".to_owned()))
    }

    /// A bucket with what was heard besides, and without peers that are gone.
    fn merged(&self, known: Option<&Bucket>, heard: &[Heard]) -> Bucket {
        let replica = self.replica();
        let mut bucket = known.cloned().unwrap_or_default();
        bucket
            .heard
            .retain(|peer, heard| replica.get(Kind::Peer, peer).is_some_and(|peer| peer.made == heard.made));
        for one in heard {
            let newest = bucket.heard.entry(one.peer.clone()).or_insert_with(|| one.clone());
            newest.at = newest.at.max(one.at);
        }
        bucket
    }

    fn replace(&self, merged: &[(u8, Bucket)]) -> TxnRequest {
        let key = |number: &u8| self.keys.bucket(*number);
        let write = |(number, bucket): &(u8, Bucket)| {
            let touched = Touched { heard: bucket.heard.values().cloned().collect() };
            put(key(number), touched.encode_to_vec())
        };
        txn(
            merged.iter().map(|(number, bucket)| unchanged(key(number), bucket.mod_revision)).collect(),
            merged.iter().map(write).collect(),
            merged.iter().map(|(number, _)| read(get(key(number)))).collect(),
        )
    }

    pub(super) async fn touched(&self) -> Result<Vec<(PeerId, Timestamp)>, StoreError> {
        self.catch_up().await?;
        let request = range(self.keys.touched(), prefix_end(&self.keys.touched()), 0);
        let answer = self.client.range(request, PATIENCE).await.map_err(|error| unavailable(&error))?;
        let mut all = BTreeMap::new();
        let replica = self.replica();
        for kv in &answer.kvs {
            for (peer, heard) in self.noted(Bucket::read(Some(kv)))?.heard {
                if replica.get(Kind::Peer, &peer).is_none_or(|peer| peer.made != heard.made) {
                    continue;
                }
                let read = PeerId::new(peer).ok().zip(Timestamp::from_millisecond(heard.at).ok());
                let (id, at) =
                    read.ok_or_else(|| StoreError::Damaged("a time that a peer was heard".to_owned()))?;
                all.insert(id, at);
            }
        }
        Ok(all.into_iter().collect())
    }
}

fn bucket_of(id: &PeerId) -> u8 {
    u8::try_from(hash(id.as_str().as_bytes()) % BUCKETS).unwrap_or_default()
}
