//! What a listener counts.

use std::sync::Arc;

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByListener {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFate {
    listener: &'static str,
    outcome: &'static str,
}

/// What all listeners of a process count in.
#[derive(Clone, Default)]
struct Families {
    requests: Family<ByProtocol, Counter>,
    connections: Family<ByProtocol, Counter>,
    refused: Family<ByBound, Counter>,
    panics: Family<ByListener, Counter>,
    compressed: Family<ByListener, Counter>,
    in_flight: Family<ByListener, Gauge>,
    open: Family<ByListener, Gauge>,
    udp_buffer: Family<ByListener, Gauge>,
    forwarded: Family<ByFate, Counter>,
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let families = Self::default();
        let registry = registry.sub_registry_with_prefix("omnirelay_listener");
        registry.register("requests", "Requests by protocol", families.requests.clone());
        registry.register("connections", "Accepted connections by protocol", families.connections.clone());
        registry.register("refused", "Refusals by the bound that was met", families.refused.clone());
        registry.register("panics", "Requests that ended in a panic of ours", families.panics.clone());
        registry.register("compressed", "Answers that were compressed", families.compressed.clone());
        registry.register("in_flight", "Requests in flight", families.in_flight.clone());
        registry.register("open_connections", "Open connections", families.open.clone());
        let granted = "Bytes of buffer that the kernel grants a QUIC socket";
        registry.register("udp_buffer_bytes", granted, families.udp_buffer.clone());
        registry.register(
            "forwarded_batches",
            "Batches of QUIC packets handed on to the process before this one",
            families.forwarded.clone(),
        );
        families
    }
}

/// Why a listener refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Connections,
    ConnectionsPerAddress,
    Handshakes,
    Handshake,
    QuicRetry,
    StreamsPerConnection,
    RequestsInFlight,
    Resets,
    Flood,
    HeaderBytes,
    HeaderCount,
    HeaderTime,
    UriBytes,
    BodyBytes,
    StreamBytes,
    BodyTime,
    SendTime,
    Idle,
    ProxyProtocol,
    Malformed,
}

impl Bound {
    /// Each with its value of the label `bound`: the name of its setting, where it has one.
    const ALL: [(Self, &'static str); 20] = [
        (Self::Connections, "max_connections"),
        (Self::ConnectionsPerAddress, "max_connections_per_address"),
        (Self::Handshakes, "max_handshakes"),
        (Self::Handshake, "handshake"),
        (Self::QuicRetry, "retry_above_handshakes"),
        (Self::StreamsPerConnection, "max_streams_per_connection"),
        (Self::RequestsInFlight, "max_requests_in_flight"),
        (Self::Resets, "max_resets_per_second"),
        (Self::Flood, "flood"),
        (Self::HeaderBytes, "max_header_bytes"),
        (Self::HeaderCount, "max_header_count"),
        (Self::HeaderTime, "header_timeout_ms"),
        (Self::UriBytes, "max_uri_bytes"),
        (Self::BodyBytes, "max_body_bytes"),
        (Self::StreamBytes, "max_stream_bytes"),
        (Self::BodyTime, "body_timeout_ms"),
        (Self::SendTime, "send_timeout_ms"),
        (Self::Idle, "idle_timeout_ms"),
        (Self::ProxyProtocol, "proxy_protocol"),
        (Self::Malformed, "malformed"),
    ];

    /// The value of the label `bound`.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The counters of one listener. Cloning is cheap; counting takes no lock.
#[derive(Clone, Debug)]
pub struct ListenerStats(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    requests: [Counter; 3],
    connections: [Counter; 3],
    refused: [Counter; Bound::ALL.len()],
    panics: Counter,
    compressed: Counter,
    in_flight: Gauge,
    open: Gauge,
}

impl ListenerStats {
    pub(crate) fn new(listener: &'static str, metrics: &Metrics) -> Self {
        let families = metrics.shared(Families::register);
        let by_protocol = |family: &Family<ByProtocol, Counter>| {
            [Protocol::Http1, Protocol::Http2, Protocol::Http3].map(|protocol| {
                family.get_or_create(&ByProtocol { listener, protocol: protocol.name() }).clone()
            })
        };
        let labels = ByListener { listener };
        Self(Arc::new(Counters {
            requests: by_protocol(&families.requests),
            connections: by_protocol(&families.connections),
            refused: Bound::ALL
                .map(|(_, bound)| families.refused.get_or_create(&ByBound { listener, bound }).clone()),
            panics: families.panics.get_or_create(&labels).clone(),
            compressed: families.compressed.get_or_create(&labels).clone(),
            in_flight: families.in_flight.get_or_create(&labels).clone(),
            open: families.open.get_or_create(&labels).clone(),
        }))
    }

    /// Notes how many bytes of buffer the kernel grants the UDP sockets of a listener.
    pub(crate) fn udp_buffer(listener: &'static str, metrics: &Metrics, bytes: usize) {
        let families = metrics.shared(Families::register);
        let gauge = families.udp_buffer.get_or_create(&ByListener { listener });
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Requests answered or in flight since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.iter().map(Counter::get).sum()
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.0.in_flight.get()).unwrap_or_default()
    }

    pub(crate) fn request(&self, protocol: Protocol) {
        self.0.requests[protocol as usize].inc();
    }

    pub(crate) fn connection(&self, protocol: Protocol) {
        self.0.connections[protocol as usize].inc();
    }

    pub(crate) fn refused(&self, bound: Bound) {
        self.0.refused[bound as usize].inc();
    }

    /// Answers that were compressed.
    #[must_use]
    pub fn compressions(&self) -> u64 {
        self.0.compressed.get()
    }

    pub(crate) fn compressed(&self) {
        self.0.compressed.inc();
    }

    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    pub(crate) fn hold_request(&self) -> Held {
        Held::new(&self.0.in_flight)
    }

    pub(crate) fn hold_connection(&self) -> Held {
        Held::new(&self.0.open)
    }
}

/// Counts what is handed on to the process before this one.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded {
    sent: Counter,
    lost: Counter,
}

impl Forwarded {
    pub(crate) fn new(listener: &'static str, metrics: &Metrics) -> Self {
        let families = metrics.shared(Families::register);
        let [sent, lost] = ["sent", "lost"]
            .map(|outcome| families.forwarded.get_or_create(&ByFate { listener, outcome }).clone());
        Self { sent, lost }
    }

    pub(crate) fn sent(&self) {
        self.sent.inc();
    }

    pub(crate) fn lost(&self) {
        self.lost.inc();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_stands_at_its_own_place() {
        for (index, (bound, name)) in Bound::ALL.into_iter().enumerate() {
            assert_eq!(bound as usize, index, "{name}");
        }
    }

    #[test]
    fn two_listeners_share_each_family() {
        let metrics = Metrics::default();
        ListenerStats::new("data", &metrics).request(Protocol::Http3);
        let _admin = ListenerStats::new("admin", &metrics);
        let text = metrics.render();
        assert_eq!(text.matches("# TYPE omnirelay_listener_requests counter").count(), 1, "{text}");
        assert!(
            text.contains("omnirelay_listener_requests_total{listener=\"data\",protocol=\"http3\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("omnirelay_listener_requests_total{listener=\"admin\",protocol=\"http3\"} 0"),
            "{text}"
        );
    }
}
