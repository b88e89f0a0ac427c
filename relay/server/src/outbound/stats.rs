//! Counters of an outbound, and its metrics: labelled by outbound and by words that are few, never
//! by peer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use relay_balance::Reason;
use relay_core::introspect::PeerState;

use crate::outbound::Outbound;
use crate::outbound::tries::Why;
use crate::proxy::Proxy;

/// Counters of an outbound.
#[derive(Default)]
pub(super) struct Stats {
    retries: [AtomicU64; Why::ALL.len()],
    denied: [AtomicU64; Denied::ALL.len()],
    ejections: [AtomicU64; 2],
}

/// Why a call was not sent, or not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    NoPeers,
    NoOwner,
    Full,
    Budget,
    Breaker,
}

impl Denied {
    const ALL: [Self; 5] = [Self::NoPeers, Self::NoOwner, Self::Full, Self::Budget, Self::Breaker];

    const fn name(self) -> &'static str {
        match self {
            Self::NoPeers => "no-peers",
            Self::NoOwner => "no-owner",
            Self::Full => "max-pending",
            Self::Budget => "retry-budget",
            Self::Breaker => "max-retries",
        }
    }
}

const REASONS: [Reason; 2] = [Reason::ConsecutiveFailures, Reason::SuccessRate];

impl Stats {
    pub(super) fn retried(&self, why: Why) {
        self.retries[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn denied(&self, why: Denied) {
        self.denied[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn ejected(&self, reason: Reason) {
        self.ejections[reason as usize].fetch_add(1, Relaxed);
    }
}

/// The metrics of all outbounds, read when they are asked for.
pub(crate) struct OutboundMetrics(pub(crate) Arc<Proxy>);

impl fmt::Debug for OutboundMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundMetrics").finish_non_exhaustive()
    }
}

impl OutboundMetrics {
    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, label): (&str, &str, &'static str),
        counts: impl Fn(&Outbound) -> Vec<(&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for outbound in &self.0.table().outbounds {
            for (word, count) in counts(outbound) {
                let labels = [("outbound", outbound.name()), (label, word)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, label): (&str, &str, &'static str),
        values: impl Fn(&Outbound) -> Vec<(&'static str, f64)>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for outbound in &self.0.table().outbounds {
            for (word, value) in values(outbound) {
                let labels = [("outbound", outbound.name()), (label, word)];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Collector for OutboundMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = |names: &[&'static str], counts: &[AtomicU64]| {
            names.iter().copied().zip(counts.iter().map(|count| count.load(Relaxed))).collect()
        };
        let retries = ("omnirelay_outbound_retries", "Calls sent to another peer, or again", "reason");
        self.counter(&mut encoder, retries, |outbound| {
            counts(&Why::ALL.map(Why::name), &outbound.stats.retries)
        })?;
        let denied = ("omnirelay_outbound_denied", "Calls not sent, or not sent again", "reason");
        self.counter(&mut encoder, denied, |outbound| {
            counts(&Denied::ALL.map(Denied::name), &outbound.stats.denied)
        })?;
        let ejections = ("omnirelay_outbound_ejections", "Peers left out for failing their calls", "reason");
        self.counter(&mut encoder, ejections, |outbound| {
            counts(&REASONS.map(Reason::name), &outbound.stats.ejections)
        })?;
        let peers = ("omnirelay_outbound_peers", "Peers by whether they get calls", "state");
        self.gauge(&mut encoder, peers, |outbound| {
            let states = outbound.fleet.states();
            // From nought up: the sum of no numbers is -0.
            let count = |state: PeerState| {
                states.iter().filter(|(_, one, _)| *one == state).fold(0.0, |count, _| count + 1.0)
            };
            PeerState::ALL.map(|state| (state.name(), count(state))).into()
        })?;
        let pending =
            ("omnirelay_outbound_pending", "Calls in flight, and the most of them at one peer", "of");
        self.gauge(&mut encoder, pending, |outbound| {
            let peers = outbound.fleet.peers();
            let pending = || peers.all.iter().map(|peer| f64::from(peer.load.pending()));
            vec![
                ("all", pending().fold(0.0, |all, one| all + one)),
                ("busiest", pending().fold(0.0, f64::max)),
            ]
        })?;
        let latency = (
            "omnirelay_outbound_latency_seconds",
            "Time until an answer begins, of the slowest peer in the last minute or less",
            "quantile",
        );
        self.gauge(&mut encoder, latency, |outbound| {
            let peers = outbound.fleet.peers();
            let told: Vec<_> = peers.all.iter().filter_map(|peer| peer.latency.percentiles()).collect();
            let worst = |of: fn(&relay_balance::Percentiles) -> std::time::Duration| {
                told.iter().map(|told| of(told).as_secs_f64()).fold(0.0, f64::max)
            };
            vec![("0.5", worst(|it| it.p50)), ("0.9", worst(|it| it.p90)), ("0.99", worst(|it| it.p99))]
        })
    }
}
