//! What a relay tells about itself at `/omnirelay/introspect`.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::protocol::Protocol;

/// A relay as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspection {
    /// The relay's name.
    pub node: String,
    /// Its version.
    pub version: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Whether it is ending.
    pub draining: bool,
    /// What can be called through it.
    pub procedures: Vec<ProcedureInfo>,
    /// Its routes, in the order of the configuration.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Where it listens.
    pub inbounds: Vec<Inbound>,
    /// Whom it calls.
    pub outbounds: Vec<Outbound>,
}

/// One kind of call that the relay routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcedureInfo {
    /// The service's name.
    pub service: String,
    /// The procedure as a pattern: `*` is all of them.
    pub procedure: String,
    /// How it is called: `yarpc` or `grpc`.
    pub style: String,
    /// The outbound that it goes to.
    pub outbound: String,
}

/// Where calls of one kind go, and what becomes of them on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name in metrics, logs and orders: its own, or its service's.
    pub name: String,
    /// The service whose calls it takes.
    pub service: String,
    /// Calls in flight now; none where they are not counted, as nothing bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// The most calls in flight for now; none where nothing bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Calls that its limits refused since the start, by reason; those that never occurred are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What is done to its calls on purpose now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What became of copies of its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// Calls that a route refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The limit: `rate`, `max-pending`, `adaptive`, `caller-rate` or `caller-max-pending`.
    pub reason: String,
    /// How many calls.
    pub calls: u64,
}

/// What became of copies of a route's calls since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The outbound that gets them.
    pub outbound: String,
    /// So many of a hundred unary calls are copied.
    pub percent: u32,
    /// Copies in flight now.
    pub pending: u64,
    /// Copies with the answer that the caller was given.
    pub equal: u64,
    /// Copies with another answer.
    pub different: u64,
    /// Copies without an answer.
    pub failed: u64,
    /// Calls that were not copied as a bound was reached, and copies without an answer to compare theirs with.
    pub skipped: u64,
    /// The mean time in microseconds until the answers of calls began that were compared.
    pub call_us: u64,
    /// The same of their copies.
    pub copy_us: u64,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// `data` or `admin`.
    pub name: String,
    /// The bound address.
    pub address: String,
    /// What it speaks.
    pub protocols: Vec<Protocol>,
    /// Requests answered since the start.
    pub requests: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Answers that were compressed since the start.
    #[serde(default)]
    pub compressed: u64,
}

/// A group of peers that serve the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// Its name.
    pub name: String,
    /// Protocols in order of preference.
    pub protocols: Vec<Protocol>,
    /// How a peer is chosen.
    pub chooser: String,
    /// Its peers.
    pub peers: Vec<OutboundPeer>,
    /// Whose shards they own, where calls go by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Shards>,
}

/// What is known of who owns the shards of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// The namespace.
    pub namespace: String,
    /// How many it has; 0 before that is known.
    pub shards: u32,
    /// The revision of the mesh that is known; 0 before the first.
    pub version: u64,
    /// Milliseconds since the control plane was heard; none before that.
    pub age_ms: Option<u64>,
}

/// One peer of an outbound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundPeer {
    /// Where it is called.
    pub url: String,
    /// The protocol of the last answer; none before the first.
    pub protocol: Option<Protocol>,
    /// Calls in flight now.
    pub pending: u64,
    /// Calls since the start.
    pub calls: u64,
    /// Calls without an answer since the start.
    pub failures: u64,
    /// Whether it gets calls.
    #[serde(default)]
    pub state: PeerState,
    /// Its share of the calls beside others'.
    #[serde(default)]
    pub weight: u32,
    /// Where it stands; empty where that is not known.
    #[serde(default)]
    pub zone: String,
    /// How often it was left out for failing its calls.
    #[serde(default)]
    pub ejections: u64,
    /// How long its answers took in the last minute or less; none without a call.
    #[serde(default)]
    pub latency: Option<Latency>,
}

/// Whether a peer gets calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// It does.
    #[default]
    Up,
    /// Its probes say that it is away.
    Unhealthy,
    /// It failed its calls and is left out for a while.
    Ejected,
}

impl PeerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Up, Self::Unhealthy, Self::Ejected];

    /// The name in metrics and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
        }
    }
}

/// Microseconds until the beginning of the answer; each at most a quarter too high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the calls took at most this.
    pub p50_us: u64,
    /// 90 % of them.
    pub p90_us: u64,
    /// 99 % of them.
    pub p99_us: u64,
}
