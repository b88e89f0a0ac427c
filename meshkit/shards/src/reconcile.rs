//! Carrying plans out: whenever membership changes, owners follow.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use meshkit_api::{Readiness, now};
use meshkit_model::lifecycle::Hold;
use meshkit_model::placement::Node;
use meshkit_model::{Invalid, Namespace, PeerId};
use meshkit_store::{Expect, Mutation, NamespaceShards, StoreError, View, Write};
use omnirelay_runtime::{Drain, ErrorKind, OperatorError};
use tracing::{debug, info, warn};

use crate::metrics::ShardsMetrics;
use crate::owners::Owners;
use crate::plan::{Change, Ground, plan};

/// Changes in one transaction.
const BATCH: usize = 512;
/// How often it is looked whether a lease has ended.
const LEASE_TICK: Duration = Duration::from_millis(100);
/// How long to leave the store alone after it failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes the configured namespaces down that are not there yet; of the others what the store says counts.
pub(crate) async fn declare(view: &View, namespaces: &[Namespace]) -> Result<(), OperatorError> {
    let failed = |error: StoreError| {
        OperatorError::new(ErrorKind::Io, "the namespaces cannot be written to the store")
            .caused_by(&error)
            .hint("check the disk that holds `store.path`, or the etcd that `store.endpoints` names")
    };
    for namespace in namespaces {
        let Some(known) = ensure(view, namespace).await.map_err(failed)? else { continue };
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

/// Writes a namespace down, or gives what is there already: also where another meshkitd on the same store was quicker.
async fn ensure(view: &View, namespace: &Namespace) -> Result<Option<Namespace>, StoreError> {
    let mut revisions = view.revisions();
    loop {
        revisions.mark_unchanged();
        if let Some(known) = view.get::<Namespace>(&namespace.name) {
            return Ok(Some(known));
        }
        match write_namespace(view, namespace).await {
            Ok(()) => return Ok(None),
            // The view learns of it in a moment.
            Err(StoreError::Conflict { .. }) => {
                let _told = tokio::time::timeout(PAUSE, revisions.changed()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn write_namespace(view: &View, namespace: &Namespace) -> Result<(), StoreError> {
    let write = Write::put(namespace, Expect::Absent)?;
    commit(view, "namespace.declare", "configured", vec![write]).await
}

/// Reconciles at once, at every change of what placement stands on and as leases end, until the drain begins.
pub(crate) fn spawn(owners: Arc<Owners>, metrics: ShardsMetrics, readiness: Readiness, drain: Drain) {
    let guard = drain.guard();
    omnirelay_runtime::spawn("shards-reconcile", async move {
        let mut reconciler = Reconciler { owners, metrics, settled: HashMap::new() };
        tokio::select! {
            () = drain.started() => {}
            () = reconciler.run(&readiness) => {}
        }
        drop(guard);
    });
}

struct Reconciler {
    owners: Arc<Owners>,
    metrics: ShardsMetrics,
    /// What each namespace stood on when nothing was to be done about it.
    settled: HashMap<String, Stand>,
}

/// What a plan stands on: where nothing of it changed there is nothing to plan.
#[derive(Debug, PartialEq, Eq)]
struct Stand {
    nodes: Vec<Node>,
    serving: BTreeSet<PeerId>,
    version: u64,
    generation: u64,
}

impl Reconciler {
    async fn run(&mut self, readiness: &Readiness) {
        let mut revisions = self.owners.view.revisions();
        loop {
            revisions.mark_unchanged();
            match self.reconcile().await {
                Ok(true) => {}
                Ok(false) => {
                    readiness.set(None);
                    let ended = tokio::select! {
                        changed = revisions.changed() => changed.is_err(),
                        () = tokio::time::sleep(LEASE_TICK), if self.owners.are_acknowledged() => false,
                    };
                    if ended {
                        return;
                    }
                }
                Err(StoreError::Conflict { .. } | StoreError::StaleFence { .. }) => {
                    debug!("somebody else changed a shard meanwhile; planning anew");
                }
                Err(error) => {
                    warn!(%error, "shards cannot be reconciled; trying again");
                    readiness.set(Some(format!("shards cannot be reconciled: {error}")));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes each namespace one step further; says whether anything was changed.
    async fn reconcile(&mut self) -> Result<bool, StoreError> {
        self.owners.look().await?;
        let view = self.owners.view.clone();
        let namespaces: Vec<Namespace> = view.read().namespaces().after(None).cloned().collect();
        let mut changed = self.forget_orphans(&view, &namespaces).await?;
        for namespace in &namespaces {
            let (stand, shards, revision) = {
                let tables = view.read();
                let shards = tables.shards().of(&namespace.name);
                let standing = self.owners.standing(namespace, &tables);
                let (version, generation) = (namespace.record_version, shards.generation());
                let stand = Stand { nodes: standing.nodes, serving: standing.serving, version, generation };
                (stand, shards, tables.revision())
            };
            if self.settled.get(&namespace.name) == Some(&stand) {
                continue;
            }
            let ground = Ground { now: now(), namespace, nodes: &stand.nodes, fence: revision + 1 };
            let hold = |peer: &PeerId| if stand.serving.contains(peer) { Hold::Runs } else { Hold::Over };
            let changes = plan(&ground, &shards, hold);
            if changes.is_empty() {
                self.settled.insert(namespace.name.clone(), stand);
            } else {
                carry_out(&view, &self.metrics, &namespace.name, &changes).await?;
                changed = true;
            }
        }
        self.settled.retain(|name, _| namespaces.iter().any(|namespace| namespace.name == *name));
        let tables = view.read();
        self.metrics.shards.set(count(namespaces.iter().map(|namespace| namespace.shards as usize).sum()));
        self.metrics.without_owner.set(count(tables.shards().count_by_owner("")));
        Ok(changed)
    }

    /// Removes the shards of namespaces that are gone.
    async fn forget_orphans(&self, view: &View, known: &[Namespace]) -> Result<bool, StoreError> {
        let orphans: Vec<NamespaceShards> = {
            let tables = view.read();
            let is_known = |name: &str| known.iter().any(|namespace| namespace.name == name);
            let orphans = tables.shards().namespaces().filter(|(name, _)| !is_known(name));
            orphans.map(|(_, shards)| shards.clone()).collect()
        };
        for shards in &orphans {
            let deletions: Vec<Write> = shards.iter().map(|shard| Write::delete(&**shard)).collect();
            for batch in deletions.chunks(BATCH) {
                commit(view, "shard.delete", "the namespace was deleted", batch.to_vec()).await?;
            }
        }
        Ok(!orphans.is_empty())
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

async fn carry_out(
    view: &View,
    metrics: &ShardsMetrics,
    namespace: &str,
    changes: &[Change],
) -> Result<(), StoreError> {
    for batch in changes.chunks(BATCH) {
        let writes = batch.iter().map(write).collect::<Result<_, _>>()?;
        commit(view, "shard.place", "placement follows the peers", writes).await?;
        let moves = batch.iter().filter(|change| change.before.is_none_or(|before| before.moves));
        metrics.moves.inc_by(moves.count() as u64);
    }
    info!(namespace, changes = changes.len(), "shards follow membership");
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
