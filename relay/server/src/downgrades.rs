//! Which calls did not go over the most wanted protocol, and why.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use relay_core::{DowngradeReason, Protocol};
use serde::Serialize;

/// How many events are kept; older ones are forgotten, the counters are not.
const KEPT: usize = 256;

/// One call that was downgraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) outbound: String,
    pub(crate) peer: String,
    pub(crate) protocol: Protocol,
    pub(crate) reason: DowngradeReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outbound: String,
    reason: &'static str,
}

/// The relay's memory of downgrades.
#[derive(Debug, Default)]
pub(crate) struct Downgrades {
    total: Family<Labels, Counter>,
    latest: Mutex<VecDeque<Event>>,
}

impl Downgrades {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let downgrades = Self::default();
        let total = downgrades.total.clone();
        metrics.register(|registry| {
            registry.register(
                "omnirelay_downgrades",
                "Calls that did not go over the most wanted protocol",
                total,
            );
        });
        downgrades
    }

    pub(crate) fn record(&self, event: Event) {
        let labels = Labels { outbound: event.outbound.clone(), reason: event.reason.name() };
        self.total.get_or_create(&labels).inc();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back(event);
    }

    /// The latest events, oldest first.
    pub(crate) fn latest(&self) -> Vec<Event> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
