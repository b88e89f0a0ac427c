//! What the registry counts.

use std::sync::atomic::AtomicU64;

use meshkit_model::PeerStatus;
use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

/// The registry's metrics. Labels take the four statuses of peers and nothing else.
#[derive(Debug)]
pub(crate) struct RegistryMetrics {
    peers: Family<ByStatus, Gauge>,
    pub(crate) registrations: Counter<u64, AtomicU64>,
    pub(crate) heartbeats: Counter<u64, AtomicU64>,
}

impl RegistryMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let new = Self {
            peers: Family::default(),
            registrations: Counter::default(),
            heartbeats: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "meshkit_registry_peers",
                "Peers by status, as of the last sweep",
                new.peers.clone(),
            );
            registry.register(
                "meshkit_registry_registrations",
                "Registrations that were taken",
                new.registrations.clone(),
            );
            registry.register(
                "meshkit_registry_heartbeats",
                "Heartbeats that were taken",
                new.heartbeats.clone(),
            );
        });
        new
    }

    pub(crate) fn set_peers(&self, count: impl Fn(PeerStatus) -> i64) {
        for status in PeerStatus::ALL {
            let label = ByStatus { status: status.as_str() };
            self.peers.get_or_create(&label).set(count(status));
        }
    }
}
