//! What is counted of leaderships.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use meshkit_model::{LeaderChange, LeaderScope};
use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Labels take the configured scopes and the five changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByScope {
    scope: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChange {
    scope: String,
    event: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct LeadershipMetrics(Arc<Families>);

#[derive(Debug, Default)]
struct Families {
    leads: Family<ByScope, Gauge>,
    fence: Family<ByScope, Gauge<u64, AtomicU64>>,
    events: Family<ByChange, Counter<u64, AtomicU64>>,
}

impl LeadershipMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let families = Families::default();
        metrics.register(|registry| {
            let leads = "Whether this node leads the scope";
            registry.register("meshkit_leadership_leads", leads, families.leads.clone());
            let fence = "The fence of the scope's lease, as this node saw it last";
            registry.register("meshkit_leadership_fence", fence, families.fence.clone());
            let events = "What became of leaderships, as this node saw it";
            registry.register("meshkit_leadership_events", events, families.events.clone());
        });
        Self(Arc::new(families))
    }

    pub(crate) fn show(&self, scope: &LeaderScope, leads: bool, fence: u64) {
        let label = ByScope { scope: scope.to_string() };
        self.0.leads.get_or_create(&label).set(leads.into());
        self.0.fence.get_or_create(&label).set(fence);
    }

    pub(crate) fn count(&self, scope: &LeaderScope, change: LeaderChange) {
        let label = ByChange { scope: scope.to_string(), event: change.as_str() };
        self.0.events.get_or_create(&label).inc();
    }
}
