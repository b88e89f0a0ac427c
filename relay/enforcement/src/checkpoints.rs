//! The endpoints of a process.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use omnirelay_runtime::{ErrorKind, Metrics, OperatorError, Result};
use relay_core::observe::TransportStats;
use relay_policy::{Endpoint, Policy, PolicyConfig};
use tokio::sync::Notify;

use crate::checkpoint::{Checkpoint, Rules};
use crate::events::Events;
use crate::metrics::Families;

/// The checkpoints of a process and what they tell.
#[derive(Debug)]
pub struct Checkpoints {
    node: String,
    since: Timestamp,
    families: Families,
    pub(crate) events: Arc<Events>,
    list: ArcSwap<Vec<Arc<Checkpoint>>>,
    /// Told whenever the rules have changed.
    pub(crate) changed: Notify,
}

/// Other rules, and other endpoints, that are prepared. Dropped, it leaves everything as it was.
#[derive(Debug)]
pub struct StagedCheckpoints {
    of: Arc<Checkpoints>,
    /// Those that stay, with their rules.
    staying: Vec<(Arc<Checkpoint>, Rules)>,
    list: Vec<Arc<Checkpoint>>,
}

impl Checkpoints {
    /// Makes the checkpoints of a process that is called `node` and starts at `now`.
    #[must_use]
    pub fn new(
        node: &str,
        policy: &PolicyConfig,
        endpoints: &[Endpoint],
        metrics: &Metrics,
        now: Timestamp,
    ) -> Self {
        let this = Self {
            node: node.to_owned(),
            since: now,
            families: Families::of(metrics),
            events: Arc::new(Events::new(now)),
            list: ArcSwap::default(),
            changed: Notify::new(),
        };
        let policy = Policy::new(policy);
        let list = endpoints.iter().map(|endpoint| {
            let rules = Rules::new(&policy, endpoint, &this.families);
            this.checkpoint(&endpoint.name, rules)
        });
        let list = list.collect();
        this.list.store(Arc::new(list));
        this
    }

    fn checkpoint(&self, endpoint: &str, rules: Rules) -> Arc<Checkpoint> {
        Arc::new(Checkpoint::new(endpoint, rules, &self.families, Arc::clone(&self.events)))
    }

    /// Prepares another policy for other endpoints. An endpoint whose name stays keeps its checkpoint, with
    /// what was counted.
    #[must_use]
    pub fn stage(self: &Arc<Self>, policy: &PolicyConfig, endpoints: &[Endpoint]) -> StagedCheckpoints {
        let policy = Policy::new(policy);
        let (mut staying, mut list) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            let rules = Rules::new(&policy, endpoint, &self.families);
            match self.find(&endpoint.name) {
                Some(known) => {
                    list.push(Arc::clone(&known));
                    staying.push((known, rules));
                }
                None => list.push(self.checkpoint(&endpoint.name, rules)),
            }
        }
        StagedCheckpoints { of: Arc::clone(self), staying, list }
    }

    fn find(&self, endpoint: &str) -> Option<Arc<Checkpoint>> {
        self.list.load().iter().find(|one| one.name() == endpoint).cloned()
    }

    /// The checkpoint of an endpoint.
    ///
    /// # Errors
    /// A name that no endpoint has, which is a fault of ours.
    pub fn get(&self, endpoint: &str) -> Result<Arc<Checkpoint>> {
        self.find(endpoint).ok_or_else(|| unknown(endpoint))
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> TransportStats {
        TransportStats {
            node: self.node.clone(),
            since: self.since,
            endpoints: self.list.load().iter().map(|checkpoint| checkpoint.stats(now)).collect(),
        }
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    pub(crate) fn all(&self) -> Arc<Vec<Arc<Checkpoint>>> {
        self.list.load_full()
    }
}

impl StagedCheckpoints {
    /// The checkpoint of an endpoint, as [`Checkpoints::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, endpoint: &str) -> Result<Arc<Checkpoint>> {
        self.list.iter().find(|one| one.name() == endpoint).cloned().ok_or_else(|| unknown(endpoint))
    }

    /// Makes the change: calls from now on are decided by the new rules.
    pub fn commit(self) {
        for (checkpoint, rules) in self.staying {
            checkpoint.set_rules(rules);
        }
        self.of.list.store(Arc::new(self.list));
        self.of.changed.notify_one();
    }
}

fn unknown(endpoint: &str) -> OperatorError {
    OperatorError::new(ErrorKind::Internal, format!("there is no endpoint `{endpoint}`"))
}
