//! What a listener counts.

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use relay_core::Protocol;

/// Labels of what happens on a listener; each has a handful of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    listener: &'static str,
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByBound {
    listener: &'static str,
    bound: &'static str,
}

/// Why a listener refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Connections,
    RequestsInFlight,
    Handshake,
}

/// The counters of one listener. Cloning is cheap; counting takes no lock.
#[derive(Clone, Debug)]
pub struct ListenerStats {
    requests: [Counter; 3],
    connections: [Counter; 3],
    refused: [Counter; 3],
    panics: Counter,
    in_flight: Gauge,
    open: Gauge,
}

impl ListenerStats {
    pub(crate) fn new(listener: &'static str, metrics: &Metrics) -> Self {
        let requests = Family::<ByProtocol, Counter>::default();
        let connections = Family::<ByProtocol, Counter>::default();
        let refused = Family::<ByBound, Counter>::default();
        let panics = Counter::default();
        let (in_flight, open) = (Gauge::default(), Gauge::default());
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("omnirelay_listener");
            registry.register("requests", "Requests by protocol", requests.clone());
            registry.register("connections", "Accepted connections by protocol", connections.clone());
            registry.register("refused", "Refusals by the bound that was met", refused.clone());
            registry.register("panics", "Requests that ended in a panic of ours", panics.clone());
            registry.register("in_flight", "Requests in flight", in_flight.clone());
            registry.register("open_connections", "Open connections", open.clone());
        });
        let by_protocol = |family: &Family<ByProtocol, Counter>| {
            [Protocol::Http1, Protocol::Http2, Protocol::Http3].map(|protocol| {
                family.get_or_create(&ByProtocol { listener, protocol: protocol.name() }).clone()
            })
        };
        Self {
            requests: by_protocol(&requests),
            connections: by_protocol(&connections),
            refused: ["max_connections", "max_requests_in_flight", "handshake"]
                .map(|bound| refused.get_or_create(&ByBound { listener, bound }).clone()),
            panics,
            in_flight,
            open,
        }
    }

    /// Requests answered or in flight since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.get()).unwrap_or_default()
    }

    pub(crate) fn request(&self, protocol: Protocol) {
        self.requests[protocol as usize].inc();
    }

    pub(crate) fn connection(&self, protocol: Protocol) {
        self.connections[protocol as usize].inc();
    }

    pub(crate) fn refused(&self, bound: Bound) {
        self.refused[bound as usize].inc();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    pub(crate) fn hold_request(&self) -> Held {
        Held::new(&self.in_flight)
    }

    pub(crate) fn hold_connection(&self) -> Held {
        Held::new(&self.open)
    }
}

/// Counts one thing in a gauge for as long as it is held.
#[derive(Debug)]
pub(crate) struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
