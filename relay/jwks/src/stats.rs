//! What became of reading keys, by issuer.

use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByIssuer {
    issuer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    issuer: String,
    outcome: &'static str,
}

/// What became of reading keys.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    reads: Family<ByOutcome, Counter>,
    keys: Family<ByIssuer, Gauge>,
    last: Family<ByIssuer, Gauge<u64, AtomicU64>>,
}

impl Stats {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let stats = Self { reads: Family::default(), keys: Family::default(), last: Family::default() };
        metrics.register(|registry| {
            let about = "Reads of an issuer's keys by what became of them";
            registry.register("omnirelay_jwks_reads", about, stats.reads.clone());
            let about = "Keys of an issuer that tokens are verified with";
            registry.register("omnirelay_jwks_keys", about, stats.keys.clone());
            let about = "When an issuer's keys were read last, in seconds since 1970";
            registry.register("omnirelay_jwks_last_success_timestamp_seconds", about, stats.last.clone());
        });
        stats
    }

    /// The keys were read; how many there are where they are others than before.
    pub(crate) fn succeeded(&self, issuer: &str, keys: Option<usize>) {
        let by = ByIssuer { issuer: issuer.to_owned() };
        if let Some(keys) = keys {
            self.keys.get_or_create(&by).set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.get_or_create(&by).set(now.as_secs());
        self.count(issuer, "read");
    }

    pub(crate) fn failed(&self, issuer: &str) {
        self.count(issuer, "failed");
    }

    /// Nobody believes the issuer any more; what was counted stays.
    pub(crate) fn forget(&self, issuer: &str) {
        let by = ByIssuer { issuer: issuer.to_owned() };
        self.keys.remove(&by);
        self.last.remove(&by);
    }

    fn count(&self, issuer: &str, outcome: &'static str) {
        self.reads.get_or_create(&ByOutcome { issuer: issuer.to_owned(), outcome }).inc();
    }
}
