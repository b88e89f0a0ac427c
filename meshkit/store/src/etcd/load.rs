//! Reading everything, all at one revision of etcd.

use std::time::Duration;

use meshkit_etcd::api::RangeRequest;
use meshkit_etcd::{Client, EtcdError, prefix_end};
use prost::Message as _;

use super::layout::{Keys, Logged, Row, Stored, Tip};
use super::replica::Replica;
use super::requests;
use super::shared::{HistoryKept, part};

/// Records that are read at once; each has at most a quarter of a megabyte.
const PAGE: i64 = 256;
/// How often to begin anew where the revision is compacted away while it is read.
const ROUNDS: usize = 5;

/// Why everything could not be read.
pub(super) enum LoadError {
    Etcd(EtcdError),
    Damaged(String),
}

impl From<EtcdError> for LoadError {
    fn from(error: EtcdError) -> Self {
        Self::Etcd(error)
    }
}

/// Everything, and etcd's revision that it was read at.
pub(super) struct Loaded {
    pub(super) replica: Replica,
    pub(super) revision: i64,
    /// Which etcd cluster it was read from.
    pub(super) cluster: u64,
}

/// The replica of all records.
pub(super) async fn everything(
    client: &Client,
    keys: &Keys,
    kept: HistoryKept,
    patience: Duration,
) -> Result<Loaded, LoadError> {
    for _ in 1..ROUNDS {
        match at_one_revision(client, keys, kept, patience).await {
            Err(LoadError::Etcd(EtcdError::Compacted)) => {}
            other => return other,
        }
    }
    at_one_revision(client, keys, kept, patience).await
}

async fn at_one_revision(
    client: &Client,
    keys: &Keys,
    kept: HistoryKept,
    patience: Duration,
) -> Result<Loaded, LoadError> {
    let answer = client.range(requests::get(keys.tip()), patience).await?;
    let header = answer.header.unwrap_or_default();
    let (revision, cluster) = (header.revision, header.cluster_id);
    let damaged = |what: String| LoadError::Damaged(what);
    let value = answer.kvs.first().ok_or_else(|| damaged("there is no tip".to_owned()))?;
    let tip = Tip::decode(value.value.as_slice())
        .map_err(|error| damaged(format!("the tip cannot be read: {error}")))?;
    let mut replica = Replica::new(tip, kept.changes);
    let (mut from, end) = (keys.records(), prefix_end(&keys.records()));
    loop {
        let page = RangeRequest { revision, ..requests::range(from, end.clone(), PAGE) };
        let answer = client.range(page, patience).await?;
        for kv in &answer.kvs {
            let name = String::from_utf8_lossy(&kv.key);
            let (kind, key) =
                keys.record_of(&kv.key).ok_or_else(|| damaged(format!("{name} is no record's key")))?;
            let stored = Stored::decode(kv.value.as_slice()).map_err(|error| error.to_string());
            let stored = stored
                .and_then(|stored| kind.check(&key, stored.version, &stored.value).map(|()| stored))
                .map_err(|problem| damaged(format!("{kind}/{key} cannot be read: {problem}")))?;
            replica.load(kind, key, stored);
        }
        match answer.kvs.last().filter(|_| answer.more) {
            // The next key is the last one and a byte more.
            Some(last) => from = [last.key.as_slice(), &[0]].concat(),
            None => break,
        }
    }
    overlay(client, keys, &mut replica, revision, patience).await?;
    Ok(Loaded { replica, revision, cluster })
}

/// A large mutation counts from its log entry on: where its records are still being written, they
/// are taken from its parts.
async fn overlay(
    client: &Client,
    keys: &Keys,
    replica: &mut Replica,
    revision: i64,
    patience: Duration,
) -> Result<(), LoadError> {
    let pending = RangeRequest { revision, ..requests::get(keys.pending()) };
    let Some(kv) = client.range(pending, patience).await?.kvs.pop() else { return Ok(()) };
    let seq =
        pending_seq(&kv.value).ok_or_else(|| LoadError::Damaged("`pending` names nothing".to_owned()))?;
    let logged = RangeRequest { revision, ..requests::get(keys.log(seq)) };
    let kv = client.range(logged, patience).await?.kvs.pop();
    let logged = kv.and_then(|kv| Logged::decode(kv.value.as_slice()).ok());
    let logged = logged.ok_or_else(|| LoadError::Damaged(format!("log entry {seq} is pending and gone")))?;
    for row in rows(client, keys, &logged, revision, patience).await? {
        let kind =
            row.kind.parse().map_err(|error| LoadError::Damaged(format!("log entry {seq}: {error}")))?;
        match row.after {
            Some(stored) => replica.load(kind, row.key, stored),
            None => replica.unload(kind, &row.key),
        }
    }
    Ok(())
}

/// The rows of a large mutation, from its parts as they were at a revision; 0 is now.
pub(super) async fn rows(
    client: &Client,
    keys: &Keys,
    logged: &Logged,
    revision: i64,
    patience: Duration,
) -> Result<Vec<Row>, LoadError> {
    let seq = logged.after.seq;
    let mut rows = Vec::new();
    for number in 0..logged.parts {
        let request = RangeRequest { revision, ..requests::get(keys.part(seq, &logged.id, number)) };
        let kv = client.range(request, patience).await?.kvs.pop();
        let read = kv.and_then(|kv| part(&kv.value).ok());
        let missing =
            || LoadError::Damaged(format!("part {number} of log entry {seq} is gone or cannot be read"));
        rows.extend(read.ok_or_else(missing)?.rows);
    }
    Ok(rows)
}

pub(super) fn pending_seq(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}
