//! What the shards module counts.

use std::sync::atomic::AtomicU64;

use omnirelay_runtime::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug)]
pub(crate) struct ShardsMetrics {
    pub(crate) shards: Gauge,
    pub(crate) without_owner: Gauge,
    pub(crate) moves: Counter<u64, AtomicU64>,
}

impl ShardsMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let new =
            Self { shards: Gauge::default(), without_owner: Gauge::default(), moves: Counter::default() };
        metrics.register(|registry| {
            registry.register("meshkit_shards", "Shards of all namespaces", new.shards.clone());
            registry.register(
                "meshkit_shards_without_owner",
                "Shards that no living peer can own",
                new.without_owner.clone(),
            );
            registry.register(
                "meshkit_shards_moves",
                "Changes of owner that were carried out",
                new.moves.clone(),
            );
        });
        new
    }
}
