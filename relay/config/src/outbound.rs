//! Groups of peers: who they are, how one is picked, who is left out.

use relay_client::KeepAlive;
use relay_core::Protocol;
use relay_transport::tls::ClientTlsConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::default_protocols;
use crate::source::{DnsConfig, MeshPeersConfig, PeerConfig};

/// A group of peers that serve the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundConfig {
    /// What routes call it.
    pub name: String,
    /// What may be used, most wanted first.
    #[serde(default = "default_protocols")]
    pub protocols: Vec<Protocol>,
    /// The peers, where they are known beforehand.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// Where the peers are looked up otherwise.
    #[serde(default)]
    pub dns: Option<DnsConfig>,
    /// Whose peers they are otherwise, as the control plane tells.
    #[serde(default)]
    pub mesh: Option<MeshPeersConfig>,
    /// Whom to believe and who we are.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// Milliseconds that one connection attempt may take.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Milliseconds that a call may take where the caller names no deadline.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// How a peer is picked.
    #[serde(default)]
    pub balance: BalanceConfig,
    /// Probes of the peers; without it only calls tell how they are.
    #[serde(default)]
    pub health: Option<HealthConfig>,
    /// When a peer that fails its calls is left out.
    #[serde(default)]
    pub outliers: OutlierConfig,
    /// What a peer is spared.
    #[serde(default)]
    pub breaker: BreakerConfig,
    /// How many calls may be tried again.
    #[serde(default)]
    pub retry_budget: BudgetConfig,
    /// When a connection to a peer counts as dead.
    #[serde(default)]
    pub keep_alive: KeepAliveConfig,
}

/// When a connection to a peer counts as dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepAliveConfig {
    /// Milliseconds that a connection may be quiet before it is probed; over TCP in whole seconds.
    pub probe_every_ms: u64,
    /// Milliseconds that it may give no answer.
    pub dead_after_ms: u64,
    /// Milliseconds that HTTP/2 may hear nothing while calls are in flight before it sends a PING.
    pub http2_ping_after_ms: u64,
}

impl Default for KeepAliveConfig {
    fn default() -> Self {
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let KeepAlive { probe_every, dead_after, http2_ping_after } = KeepAlive::default();
        Self {
            probe_every_ms: millis(probe_every),
            dead_after_ms: millis(dead_after),
            http2_ping_after_ms: millis(http2_ping_after),
        }
    }
}

impl KeepAliveConfig {
    /// As a channel takes it.
    #[must_use]
    pub fn keep_alive(&self) -> KeepAlive {
        let millis = std::time::Duration::from_millis;
        KeepAlive {
            probe_every: millis(self.probe_every_ms),
            dead_after: millis(self.dead_after_ms),
            http2_ping_after: millis(self.http2_ping_after_ms),
        }
    }
}

impl OutboundConfig {
    /// Whether calls are placed by a key.
    #[must_use]
    pub const fn is_placed(&self) -> bool {
        matches!(self.balance.strategy, StrategyName::Ring | StrategyName::Sticky)
    }

    /// Whether connections that were made for another one can go on for this one.
    #[must_use]
    pub fn shares_connections(&self, other: &Self) -> bool {
        self.protocols == other.protocols
            && self.tls == other.tls
            && self.connect_timeout_ms == other.connect_timeout_ms
            && self.breaker.max_connections == other.breaker.max_connections
            && self.keep_alive == other.keep_alive
    }
}

/// How a peer is picked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalanceConfig {
    /// The way.
    pub strategy: StrategyName,
    /// What `ring` and `sticky` place a call by.
    pub key: KeyConfig,
    /// Milliseconds in which a new or returned peer comes to its full share; 0 for at once.
    pub slow_start_ms: u64,
    /// Whether peers in this relay's zone are preferred.
    pub zone_aware: bool,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            strategy: StrategyName::TwoChoices,
            key: KeyConfig::ShardKey,
            slow_start_ms: 0,
            zone_aware: false,
        }
    }
}

/// The ways to pick a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest calls in flight.
    FewestPending,
    /// The cheaper of two drawn at random, by latency and calls in flight.
    TwoChoices,
    /// The owner of the key on a consistent-hash ring.
    Ring,
    /// The one that the key went to before.
    Sticky,
}

impl StrategyName {
    /// The name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::FewestPending => "fewest-pending",
            Self::TwoChoices => "two-choices",
            Self::Ring => "ring",
            Self::Sticky => "sticky",
        }
    }
}

/// What a call is placed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyConfig {
    /// Its `Rpc-Shard-Key`.
    ShardKey,
    /// Its `Rpc-Caller`.
    Caller,
    /// A header of it.
    Header(String),
}

/// How peers are probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// What is asked.
    pub kind: ProbeKind,
    /// The path of `http`.
    #[serde(default = "default_health_path")]
    pub path: String,
    /// The service that `grpc` asks for; empty for the server as a whole.
    #[serde(default)]
    pub service: String,
    /// Milliseconds between two probes of a peer, of which up to a tenth is left to chance.
    #[serde(default = "default_health_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds that a probe may take.
    #[serde(default = "default_health_timeout_ms")]
    pub timeout_ms: u64,
    /// Failures in a row that take a peer out.
    #[serde(default = "default_unhealthy_after")]
    pub unhealthy_after: u32,
    /// Answers in a row that take it in again.
    #[serde(default = "default_healthy_after")]
    pub healthy_after: u32,
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// `GET` of a path: 2xx is healthy.
    Http,
    /// `grpc.health.v1.Health/Check`: `SERVING` is healthy.
    Grpc,
    /// A TCP connection: being accepted is healthy.
    Tcp,
}

/// When a peer that fails its calls is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierConfig {
    /// Failures in a row; 0 for never.
    pub consecutive_failures: u32,
    /// How far below the mean its success rate may be, in percent of the standard deviation; 0 for any.
    pub deviation_percent: u32,
    /// Calls in an interval below which its success rate says nothing.
    pub min_calls: u32,
    /// Peers with so many calls below which a mean says nothing.
    pub min_peers: u32,
    /// Milliseconds between two looks at success rates.
    pub interval_ms: u64,
    /// Milliseconds of the first ejection; each further one in succession is as much longer.
    pub base_ms: u64,
    /// Milliseconds of the longest one.
    pub max_ms: u64,
    /// Most peers that are out at once, in percent.
    pub max_ejected_percent: u32,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            deviation_percent: 190,
            min_calls: 100,
            min_peers: 5,
            interval_ms: 10_000,
            base_ms: 10_000,
            max_ms: 300_000,
            max_ejected_percent: 50,
        }
    }
}

/// Bounds of what goes to one peer, and of what is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Calls in flight to one peer.
    pub max_pending: u32,
    /// Connections to one peer over HTTP/2 and over HTTP/3 each, 1 to 4.
    pub max_connections: usize,
    /// Retries and hedges in flight to all peers.
    pub max_retries: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { max_pending: 10_000, max_connections: 4, max_retries: 100 }
    }
}

/// How many calls may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Retries and hedges in percent of the calls of the last ten seconds.
    pub percent: u32,
    /// So many a second beside that.
    pub floor_per_second: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { percent: 20, floor_per_second: 10 }
    }
}

const fn default_connect_timeout_ms() -> u64 {
    2_000
}

const fn default_timeout_ms() -> u64 {
    30_000
}

fn default_health_path() -> String {
    "/healthz".to_owned()
}

const fn default_health_interval_ms() -> u64 {
    5_000
}

const fn default_health_timeout_ms() -> u64 {
    1_000
}

const fn default_unhealthy_after() -> u32 {
    3
}

const fn default_healthy_after() -> u32 {
    2
}
