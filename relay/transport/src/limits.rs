//! What a stranger may make a listener do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The bounds of one listener; each refusal is counted in `omnirelay_listener_refused_total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once, TCP and QUIC together.
    pub max_connections: u32,
    /// Requests at once on one connection.
    pub max_streams_per_connection: u32,
    /// Requests at once on the whole listener; more are answered 503.
    pub max_requests_in_flight: u32,
    /// Bytes of one header section, at most 1 MiB.
    pub max_header_bytes: u32,
    /// Bytes of one request body; a longer one breaks off.
    pub max_body_bytes: u64,
    /// Milliseconds from connecting until TLS is up.
    pub handshake_timeout_ms: u64,
    /// Milliseconds from the first byte of a request until its headers are complete.
    pub header_timeout_ms: u64,
    /// Milliseconds without a packet after which a connection is closed.
    pub idle_timeout_ms: u64,
    /// Milliseconds that in-flight requests get to finish once the process ends.
    pub drain_max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_streams_per_connection: 256,
            max_requests_in_flight: 10_000,
            max_header_bytes: 32 << 10,
            max_body_bytes: 64 << 20,
            handshake_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            drain_max_ms: 10_000,
        }
    }
}

impl Limits {
    /// What is wrong with these bounds, as (key, remedy).
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let mut need = |fine: bool, key, remedy| {
            if !fine {
                problems.push((key, remedy));
            }
        };
        need(self.max_connections > 0, "max_connections", "allow at least one connection");
        need(self.max_streams_per_connection > 0, "max_streams_per_connection", "allow at least one request");
        need(self.max_requests_in_flight > 0, "max_requests_in_flight", "allow at least one request");
        need(
            (1 << 10..=1 << 20).contains(&self.max_header_bytes),
            "max_header_bytes",
            "choose 1024 to 1048576",
        );
        need(self.handshake_timeout_ms > 0, "handshake_timeout_ms", "choose at least 1");
        need(self.header_timeout_ms > 0, "header_timeout_ms", "choose at least 1");
        need(
            (1_000..=3_600_000).contains(&self.idle_timeout_ms),
            "idle_timeout_ms",
            "choose 1000 to 3600000",
        );
        problems
    }

    /// Requests at once on a new HTTP/3 connection: quinn keeps memory for each that is allowed, and
    /// most connections never need more than RFC 9114 (section 6.1) wants allowed. A connection that
    /// does is allowed all once it has half of these in flight.
    pub(crate) fn first_streams(&self) -> u32 {
        self.max_streams_per_connection.min(100)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// How long in-flight requests get to finish once the process ends.
    #[must_use]
    pub fn drain_max(&self) -> Duration {
        Duration::from_millis(self.drain_max_ms)
    }
}
