//! One node compacts etcd's own history for all. Nothing here reads it: a watch that finds it gone
//! looks at the log instead.

use std::sync::Arc;
use std::time::Duration;

use meshkit_etcd::api::request_op::Request;
use meshkit_etcd::api::{PutRequest, RequestOp};
use meshkit_etcd::{EtcdError, Leased};

use super::requests::{absent, found, get, read, txn};
use super::shared::{PATIENCE, Shared};

/// How long after a node's end another one takes over.
const LEASE: Duration = Duration::from_secs(15);

/// Compacts what is older than `kept`, for as long as it is asked to.
pub(super) async fn keep(shared: Arc<Shared>, instance: [u8; 16], kept: Duration) {
    let leased = Leased::keep(shared.client.clone(), LEASE);
    let lease = leased.id();
    let mut earlier = None;
    loop {
        tokio::time::sleep(kept).await;
        let Some(id) = *lease.borrow() else { continue };
        match turn(&shared, instance, id, earlier).await {
            Ok(revision) => earlier = Some(revision),
            Err(error @ EtcdError::Auth(_)) => tracing::warn!(
                %error,
                hint = "give etcd `--auto-compaction-retention`: its later versions let only root compact",
                "etcd's history is not compacted"
            ),
            Err(error) => tracing::warn!(%error, "etcd's history is not compacted; trying again later"),
        }
    }
}

/// Compacts up to `earlier` where it is this node's duty, and says where etcd is now.
async fn turn(
    shared: &Shared,
    instance: [u8; 16],
    lease: i64,
    earlier: Option<i64>,
) -> Result<i64, EtcdError> {
    let key = shared.keys.keeper();
    let claim = PutRequest { key: key.clone(), value: instance.to_vec(), lease, prev_kv: false };
    let claim = RequestOp { request: Some(Request::RequestPut(claim)) };
    let answer =
        shared.client.txn(txn(vec![absent(key.clone())], vec![claim], vec![read(get(key))]), PATIENCE);
    let answer = answer.await?;
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    let is_ours = answer.succeeded
        || found(answer).first().and_then(|kvs| kvs.first()).is_some_and(|kv| kv.value == instance);
    if let Some(earlier) = earlier.filter(|_| is_ours) {
        match shared.client.compact(earlier, PATIENCE).await {
            // Somebody else did, as etcd itself may with `--auto-compaction-retention`.
            Ok(()) | Err(EtcdError::Compacted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(revision)
}
