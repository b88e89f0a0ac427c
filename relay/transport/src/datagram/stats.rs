//! What is counted of datagrams.

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEvent {
    event: &'static str,
}

/// What becomes of a message or of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Sent,
    Received,
    /// Nobody could be reached in time, or nobody took it.
    Dropped,
    /// A connection was made.
    Connected,
    /// A connection did not come about.
    Failed,
    /// A peer is believed and not let in.
    Refused,
}

#[derive(Clone, Debug)]
pub(super) struct Stats(Family<ByEvent, Counter>);

impl Stats {
    pub(super) fn new(metrics: &Metrics) -> Self {
        metrics.shared(|registry| {
            let events = Family::default();
            let about = "Messages between equals and the connections that carry them, by what became of them";
            registry.register("omnirelay_datagram_events", about, events.clone());
            Self(events)
        })
    }

    pub(super) fn count(&self, event: Event) {
        let event = match event {
            Event::Sent => "sent",
            Event::Received => "received",
            Event::Dropped => "dropped",
            Event::Connected => "connected",
            Event::Failed => "failed",
            Event::Refused => "refused",
        };
        self.0.get_or_create(&ByEvent { event }).inc();
    }
}
