//! What is counted of certificates: one set for the process, since a channel and a listener may
//! share the files.

use std::sync::LazyLock;

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFile {
    /// One value a configured certificate.
    certificate: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    certificate: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    peer: &'static str,
    reason: &'static str,
}

#[derive(Clone, Default)]
struct Families {
    expiry: Family<ByFile, Gauge>,
    reloads: Family<ByOutcome, Counter>,
    refused: Family<ByReason, Counter>,
}

static FAMILIES: LazyLock<Families> = LazyLock::new(Families::default);

/// Shows the process's TLS metrics in `metrics`; doing it twice is doing it once.
pub(crate) fn register(metrics: &Metrics) {
    metrics.shared(|registry| {
        let registry = registry.sub_registry_with_prefix("omnirelay_tls");
        let expiry = "Seconds until a certificate in use ends; below 0 it has ended";
        registry.register("certificate_expiry_seconds", expiry, FAMILIES.expiry.clone());
        registry.register("reloads", "Changed certificate files by outcome", FAMILIES.reloads.clone());
        registry.register("refused_peers", "Peers refused by their certificate", FAMILIES.refused.clone());
        FAMILIES.clone()
    });
}

pub(crate) fn expires_in(certificate: &str, seconds: i64) {
    FAMILIES.expiry.get_or_create(&ByFile { certificate: certificate.to_owned() }).set(seconds);
}

/// A certificate is in use no more; where it still is, it is told again.
pub(crate) fn forget(certificate: &str) {
    FAMILIES.expiry.remove(&ByFile { certificate: certificate.to_owned() });
}

/// What became of changed files.
pub(crate) fn reloaded(certificate: &str, loaded: bool) {
    let outcome = if loaded { "loaded" } else { "refused" };
    FAMILIES.reloads.get_or_create(&ByOutcome { certificate: certificate.to_owned(), outcome }).inc();
}

/// A peer (`client` or `server`) whose certificate was not believed.
pub(crate) fn refused(peer: &'static str, reason: &'static str) {
    FAMILIES.refused.get_or_create(&ByReason { peer, reason }).inc();
}
