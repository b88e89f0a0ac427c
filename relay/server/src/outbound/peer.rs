//! One peer and what is known of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use omnirelay_runtime::Result;
use relay_balance::{Histogram, Load, Member, Moment, hash};
use relay_config::OutboundConfig;
use relay_core::Protocol;
use relay_core::introspect::{Latency, OutboundPeer, PeerState};
use relay_policy::Protocols;

use crate::channels::{Channels, Target};
use crate::outbound::source::PeerSpec;

pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) spec: PeerSpec,
    pub(super) channels: Channels,
    pub(super) load: Arc<Load>,
    pub(super) latency: Histogram,
    pub(super) calls: AtomicU64,
    pub(super) failures: AtomicU64,
    /// What its probes say.
    pub(super) healthy: AtomicBool,
    /// The protocol of the last answer plus one; 0 before the first.
    protocol: AtomicU8,
}

impl Peer {
    /// # Errors
    /// TLS files that cannot be used, or an URL that is none.
    pub(super) fn new(
        spec: PeerSpec,
        config: &OutboundConfig,
        sets: &[Protocols],
        now: Moment,
    ) -> Result<Self> {
        let mut tls = config.tls.clone();
        if tls.server_name.is_none() {
            tls.server_name.clone_from(&spec.server_name);
        }
        let target = Target {
            url: &spec.url,
            tls: &tls,
            protocols: &config.protocols,
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            max_connections: Some(config.breaker.max_connections),
            keep_alive: config.keep_alive.keep_alive(),
        };
        Ok(Self {
            id: hash(spec.url.as_bytes()),
            channels: Channels::new(&target, sets)?,
            load: Arc::new(Load::new(now)),
            latency: Histogram::default(),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            protocol: AtomicU8::new(0),
            spec,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.spec.url
    }

    /// The peer as the balancer of a relay in `zone` sees it.
    pub(super) fn member(&self, zone: &str) -> Member {
        Member {
            id: self.id,
            weight: self.spec.weight,
            near: !zone.is_empty() && self.spec.zone == zone,
            up: true,
            load: Arc::clone(&self.load),
        }
    }

    pub(super) fn answered_over(&self, protocol: Protocol) {
        self.protocol.store(protocol as u8 + 1, Relaxed);
    }

    pub(super) fn introspect(&self, state: PeerState, ejections: u64) -> OutboundPeer {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let latency = self.latency.percentiles().map(|told| Latency {
            p50_us: micros(told.p50),
            p90_us: micros(told.p90),
            p99_us: micros(told.p99),
        });
        let protocol = self.protocol.load(Relaxed);
        OutboundPeer {
            url: self.spec.url.clone(),
            protocol: Protocol::ALL.into_iter().find(|one| *one as u8 + 1 == protocol),
            pending: u64::from(self.load.pending()),
            calls: self.calls.load(Relaxed),
            failures: self.failures.load(Relaxed),
            state,
            weight: self.spec.weight,
            zone: self.spec.zone.clone(),
            ejections,
            latency,
        }
    }
}
