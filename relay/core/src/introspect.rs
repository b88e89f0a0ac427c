//! What a relay tells about itself at `/omnirelay/introspect`.

use serde::{Deserialize, Serialize};

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
}
