//! Carrying plans out: whenever membership changes, owners follow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use meshkit_api::{Readiness, now};
use meshkit_model::{Namespace, Shard};
use meshkit_store::{Expect, Mutation, PeerQuery, ShardQuery, Store, StoreError, Write};
use omnirelay_runtime::{Drain, ErrorKind, OperatorError};
use tracing::{debug, info, warn};

use crate::metrics::ShardsMetrics;
use crate::plan::{Change, Member, plan};

/// Changes in one transaction.
const BATCH: usize = 512;
/// Records read at once.
const PAGE: u32 = 1_000;
/// How long to leave the store alone after it failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes the configured namespaces down.
pub(crate) async fn declare(store: &dyn Store, namespaces: &[Namespace]) -> Result<(), OperatorError> {
    let failed = |error: StoreError| {
        OperatorError::new(ErrorKind::Io, "the namespaces cannot be written to the store")
            .caused_by(&error)
            .hint("check the disk that holds `store.path`")
    };
    let stored = store.namespaces().await.map_err(failed)?;
    for namespace in namespaces {
        let Some(known) = stored.iter().find(|known| known.name == namespace.name) else {
            write_namespace(store, namespace).await.map_err(failed)?;
            continue;
        };
        if known.shards != namespace.shards {
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!(
                    "the namespace `{}` has {} shards in the store and {} in the configuration",
                    namespace.name, known.shards, namespace.shards
                ),
            )
            .because("keys hash over the number of shards, so it is fixed once a namespace exists")
            .hint(format!("set `shards = {}` again, or give the new namespace another name", known.shards)));
        }
        if known.service != namespace.service {
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!(
                    "the namespace `{}` belongs to the service `{}` in the store and to `{}` in the configuration",
                    namespace.name, known.service, namespace.service
                ),
            )
            .because("its owners hold state that another service cannot take over")
            .hint("set the service back, or give the new namespace another name"));
        }
    }
    Ok(())
}

async fn write_namespace(store: &dyn Store, namespace: &Namespace) -> Result<(), StoreError> {
    let write = Write::Namespace { namespace: namespace.clone(), expect: Expect::Absent };
    commit(store, "configured", vec![write]).await
}

/// Reconciles at once and at every change of membership until the drain begins.
pub(crate) fn spawn(store: Arc<dyn Store>, metrics: ShardsMetrics, readiness: Readiness, drain: Drain) {
    let guard = drain.guard();
    omnirelay_runtime::spawn("shards-reconcile", async move {
        let work = run(&*store, &metrics, &readiness);
        tokio::select! {
            () = drain.started() => {}
            () = work => {}
        }
        drop(guard);
    });
}

async fn run(store: &dyn Store, metrics: &ShardsMetrics, readiness: &Readiness) {
    let mut revisions = store.revisions();
    // What the last complete reconciliation stood on: without a change of it there is nothing to do.
    let mut settled: Option<BTreeSet<Member>> = None;
    loop {
        revisions.mark_unchanged();
        match reconcile(store, metrics, settled.as_ref()).await {
            Ok(members) => {
                settled = Some(members);
                readiness.set(None);
                if revisions.changed().await.is_err() {
                    return;
                }
            }
            Err(StoreError::Conflict { .. } | StoreError::StaleFence { .. }) => {
                debug!("somebody else changed a shard meanwhile; planning anew");
                settled = None;
            }
            Err(error) => {
                warn!(%error, "shards cannot be reconciled; trying again");
                readiness.set(Some(format!("shards cannot be reconciled: {error}")));
                settled = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn reconcile(
    store: &dyn Store,
    metrics: &ShardsMetrics,
    settled: Option<&BTreeSet<Member>>,
) -> Result<BTreeSet<Member>, StoreError> {
    let members = members(store).await?;
    if settled == Some(&members) {
        return Ok(members);
    }
    let namespaces = store.namespaces().await?;
    let shards = shards(store).await?;
    let list: Vec<_> = members.iter().cloned().collect();
    let changes = plan(now(), &list, &namespaces, &shards);
    metrics.shards.set(count(namespaces.iter().map(|n| n.shards as usize).sum()));
    if !changes.is_empty() {
        carry_out(store, metrics, &shards, changes).await?;
    }
    let without = ShardQuery { owner: Some(String::new()), limit: u32::MAX - 1, ..ShardQuery::default() };
    let without_owner = store.shards(without).await?.items.len();
    metrics.without_owner.set(count(without_owner));
    Ok(members)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

async fn carry_out(
    store: &dyn Store,
    metrics: &ShardsMetrics,
    shards: &[Shard],
    changes: Vec<Change>,
) -> Result<(), StoreError> {
    let (total, known) = (changes.len(), shards.len());
    let mut changes = changes.into_iter().map(write).peekable();
    while changes.peek().is_some() {
        let batch: Vec<_> = changes.by_ref().take(BATCH).collect();
        let moves = batch.len() as u64;
        commit(store, "membership changed", batch).await?;
        metrics.moves.inc_by(moves);
    }
    info!(changes = total, known, "shards follow membership");
    Ok(())
}

fn write(change: Change) -> Write {
    let (expect, fence) = match change.before {
        Some(before) => (Expect::Version(before.version), before.fence),
        None => (Expect::Absent, 0),
    };
    Write::Shard { shard: change.shard, expect, fence }
}

async fn commit(store: &dyn Store, reason: &str, writes: Vec<Write>) -> Result<(), StoreError> {
    let mutation = Mutation { actor: "meshkitd".to_owned(), reason: reason.to_owned(), at: now(), writes };
    store.commit(mutation).await.map(drop)
}

/// Every peer that may own shards. A suspect one counts as alive, so that a hiccup plans nothing.
async fn members(store: &dyn Store) -> Result<BTreeSet<Member>, StoreError> {
    let mut members = BTreeSet::new();
    let mut query = PeerQuery { limit: PAGE, ..PeerQuery::default() };
    loop {
        let page = store.peers(query.clone()).await?;
        query.after = page.items.last().map(|peer| peer.spec.id.to_string());
        for peer in page.items {
            if peer.status.may_own() && !peer.spec.service.is_empty() {
                members.insert(Member {
                    id: peer.spec.id,
                    service: peer.spec.service,
                    status: meshkit_model::PeerStatus::Alive,
                });
            }
        }
        if !page.more {
            return Ok(members);
        }
    }
}

async fn shards(store: &dyn Store) -> Result<Vec<Shard>, StoreError> {
    let mut all = Vec::new();
    let mut query = ShardQuery { limit: PAGE, ..ShardQuery::default() };
    loop {
        let page = store.shards(query.clone()).await?;
        all.extend(page.items);
        query.after = all.last().map(|shard: &Shard| (shard.namespace.clone(), shard.id));
        if !page.more {
            return Ok(all);
        }
    }
}
