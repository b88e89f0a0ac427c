//! The endpoints of a process.

use std::sync::Arc;

use jiff::Timestamp;
use omnirelay_runtime::{ErrorKind, Metrics, OperatorError, Result};
use relay_core::observe::TransportStats;
use relay_policy::{Endpoint, Policy, PolicyConfig};

use crate::checkpoint::Checkpoint;
use crate::events::Events;
use crate::metrics::Families;

/// The checkpoints of a process and what they tell. Made once at start-up.
#[derive(Debug)]
pub struct Checkpoints {
    node: String,
    since: Timestamp,
    pub(crate) events: Arc<Events>,
    pub(crate) list: Vec<Arc<Checkpoint>>,
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
        let (policy, families) = (Policy::new(policy), Families::of(metrics));
        let events = Arc::new(Events::new(now));
        let checkpoint = |endpoint| Checkpoint::new(&policy, endpoint, &families, Arc::clone(&events));
        let list = endpoints.iter().map(|endpoint| Arc::new(checkpoint(endpoint))).collect();
        Self { node: node.to_owned(), since: now, list, events }
    }

    /// The checkpoint of an endpoint.
    ///
    /// # Errors
    /// A name that no endpoint has, which is a fault of ours.
    pub fn get(&self, endpoint: &str) -> Result<Arc<Checkpoint>> {
        self.list.iter().find(|one| one.name() == endpoint).cloned().ok_or_else(|| {
            OperatorError::new(ErrorKind::Internal, format!("there is no endpoint `{endpoint}`"))
        })
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self, now: Timestamp) -> TransportStats {
        TransportStats {
            node: self.node.clone(),
            since: self.since,
            endpoints: self.list.iter().map(|checkpoint| checkpoint.stats(now)).collect(),
        }
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }
}
