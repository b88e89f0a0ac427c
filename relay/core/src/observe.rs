//! What a daemon tells about the transports of its calls, at `/omnirelay/control/transport-stats`
//! and `/omnirelay/control/downgrade-events`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::protocol::{DowngradeReason, Encoding, Protocol};

/// Where the counters of calls by endpoint are read.
pub const TRANSPORT_STATS: &str = "/omnirelay/control/transport-stats";
/// Where downgrades and refusals are read and watched.
pub const DOWNGRADE_EVENTS: &str = "/omnirelay/control/downgrade-events";

/// How calls were carried since a daemon started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransportStats {
    /// The daemon's name.
    pub node: String,
    /// When it started to count.
    pub since: Timestamp,
    /// Everything that listens or calls, in the order of the configuration.
    pub endpoints: Vec<EndpointStats>,
}

/// How the calls at one endpoint were carried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Its name: `data:http`, `outbound:greeter`.
    pub endpoint: String,
    /// The category whose rule counts.
    pub category: String,
    /// What the rule wants most.
    pub preferred: Option<Protocol>,
    /// Calls that the policy let go.
    pub calls: u64,
    /// Those of them that did not go over what the rule wants most.
    pub downgraded: u64,
    /// `downgraded` of `calls`, 0 to 1.
    pub downgrade_ratio: f64,
    /// Calls that the policy refused.
    pub refused: u64,
    /// Calls by protocol and encoding; those that never occurred are left out.
    pub wires: Vec<WireStats>,
    /// Downgraded calls by reason; those that never occurred are left out.
    pub downgrades: Vec<DowngradeStats>,
    /// The policy exceptions that are for the endpoint.
    pub exceptions: Vec<ExceptionStats>,
}

/// Calls of one protocol and encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireStats {
    /// The protocol.
    pub protocol: Protocol,
    /// The encoding.
    pub encoding: Encoding,
    /// Calls with an answer that is no fault of the server.
    pub answered: u64,
    /// Calls that ended in a fault of the server, or without an answer.
    pub failed: u64,
    /// Calls that the policy refused.
    pub refused: u64,
}

/// Calls that were downgraded for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowngradeStats {
    /// The reason.
    pub reason: DowngradeReason,
    /// How many calls.
    pub calls: u64,
}

/// What became of the calls that hung on an exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionStats {
    /// Its name.
    pub name: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether it has ended.
    pub expired: bool,
    /// Calls that it let go.
    pub used: u64,
    /// Calls that were refused since it ended.
    pub refused: u64,
}

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A call did not go over what the rule wants most.
    Downgraded,
    /// The policy refused a call.
    Refused,
    /// An exception has ended.
    Expired,
}

impl EventKind {
    /// The name in output and in event streams.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downgraded => "downgraded",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// One call that was downgraded or refused, or an exception that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowngradeEvent {
    /// Its place in the daemon's history, for `Last-Event-ID`.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Where.
    pub endpoint: String,
    /// Who called, or who was called.
    pub peer: String,
    /// The procedure, at most 128 bytes of it.
    pub procedure: String,
    /// The protocol; none where nothing was sent.
    pub protocol: Option<Protocol>,
    /// The encoding.
    pub encoding: Option<Encoding>,
    /// Why the call was downgraded.
    pub reason: Option<DowngradeReason>,
    /// The policy exception that let the call go, or whose end it met.
    pub exception: Option<String>,
    /// How many more of the same kind were counted but not told before this one.
    pub suppressed: u64,
}

/// The latest events, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowngradeEvents {
    /// The daemon's name.
    pub node: String,
    /// The events.
    pub events: Vec<DowngradeEvent>,
}
