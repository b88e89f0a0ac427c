//! Carrying plans out: whenever membership changes, owners follow.

use std::collections::BTreeSet;
use std::time::Duration;

use meshkit_api::{Readiness, now};
use meshkit_model::{Invalid, Namespace, Peer, PeerStatus};
use meshkit_store::{Expect, Mutation, Rows as _, StoreError, Tables, View, Write};
use omnirelay_runtime::{Drain, ErrorKind, OperatorError};
use tracing::{debug, info, warn};

use crate::metrics::ShardsMetrics;
use crate::plan::{Change, Member, plan};

/// Changes in one transaction.
const BATCH: usize = 512;
/// How long to leave the store alone after it failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes the configured namespaces down.
pub(crate) async fn declare(view: &View, namespaces: &[Namespace]) -> Result<(), OperatorError> {
    let failed = |error: StoreError| {
        OperatorError::new(ErrorKind::Io, "the namespaces cannot be written to the store")
            .caused_by(&error)
            .hint("check the disk that holds `store.path`, or the etcd that `store.endpoints` names")
    };
    for namespace in namespaces {
        let Some(known) = view.get::<Namespace>(&namespace.name) else {
            write_namespace(view, namespace).await.map_err(failed)?;
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

async fn write_namespace(view: &View, namespace: &Namespace) -> Result<(), StoreError> {
    let write = Write::put(namespace, Expect::Absent)?;
    commit(view, "namespace.declare", "configured", vec![write]).await
}

/// Reconciles at once and at every change of membership until the drain begins.
pub(crate) fn spawn(view: View, metrics: ShardsMetrics, readiness: Readiness, drain: Drain) {
    let guard = drain.guard();
    omnirelay_runtime::spawn("shards-reconcile", async move {
        let work = run(&view, &metrics, &readiness);
        tokio::select! {
            () = drain.started() => {}
            () = work => {}
        }
        drop(guard);
    });
}

async fn run(view: &View, metrics: &ShardsMetrics, readiness: &Readiness) {
    let mut revisions = view.revisions();
    // What the last complete reconciliation stood on: without a change of it there is nothing to do.
    let mut settled: Option<BTreeSet<Member>> = None;
    loop {
        revisions.mark_unchanged();
        match reconcile(view, metrics, settled.as_ref()).await {
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
    view: &View,
    metrics: &ShardsMetrics,
    settled: Option<&BTreeSet<Member>>,
) -> Result<BTreeSet<Member>, StoreError> {
    let (members, changes) = {
        let tables = view.read();
        let members = members(&tables);
        if settled == Some(&members) {
            return Ok(members);
        }
        let list: Vec<_> = members.iter().cloned().collect();
        let namespaces: Vec<_> = tables.namespaces().after(None).cloned().collect();
        let shards: Vec<_> = tables.shards().iter().cloned().collect();
        drop(tables);
        let changes = plan(now(), &list, &namespaces, &shards);
        metrics.shards.set(count(namespaces.iter().map(|n| n.shards as usize).sum()));
        (members, changes)
    };
    if !changes.is_empty() {
        carry_out(view, metrics, changes).await?;
    }
    metrics.without_owner.set(count(view.read().shards().count_by_owner("")));
    Ok(members)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

async fn carry_out(view: &View, metrics: &ShardsMetrics, changes: Vec<Change>) -> Result<(), StoreError> {
    let total = changes.len();
    let mut changes = changes.iter().map(write).peekable();
    while changes.peek().is_some() {
        let batch: Vec<_> = changes.by_ref().take(BATCH).collect::<Result<_, _>>()?;
        let moves = batch.len() as u64;
        commit(view, "shard.assign", "membership changed", batch).await?;
        metrics.moves.inc_by(moves);
    }
    info!(changes = total, known = view.read().shards().count(), "shards follow membership");
    Ok(())
}

fn write(change: &Change) -> Result<Write, Invalid> {
    let (expect, fence) = match change.before {
        Some(before) => (Expect::Version(before.version), before.fence),
        None => (Expect::Absent, 0),
    };
    Write::put_fenced(&change.shard, expect, fence)
}

async fn commit(view: &View, action: &str, reason: &str, writes: Vec<Write>) -> Result<(), StoreError> {
    let mutation = Mutation { writes, ..Mutation::new("meshkitd", action, now()).reason(reason) };
    view.commit(mutation).await.map(drop)
}

/// Every peer that may own shards. A suspect one counts as alive, so that a hiccup plans nothing.
fn members(tables: &Tables) -> BTreeSet<Member> {
    let may_own = |peer: &&Peer| peer.status.may_own() && !peer.spec.service.is_empty();
    let member = |peer: &Peer| Member {
        id: peer.spec.id.clone(),
        service: peer.spec.service.clone(),
        status: PeerStatus::Alive,
        hold: peer.hold_state(),
    };
    tables.peers().iter().filter(may_own).map(member).collect()
}
