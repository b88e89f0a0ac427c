//! What a stranger may make a listener do.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The bounds of one listener; each refusal counts under the bound's name in
/// `omnirelay_listener_refused_total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once, TCP and QUIC together.
    pub max_connections: u32,
    /// Connections at once of one client address; an IPv6 client is its /64.
    pub max_connections_per_address: u32,
    /// Connections at once whose handshake is not complete.
    pub max_handshakes: u32,
    /// Open handshakes above which a QUIC client has to prove its address first (Retry, RFC 9000,
    /// section 8.1.2).
    pub retry_above_handshakes: u32,
    /// Requests at once on one connection.
    pub max_streams_per_connection: u32,
    /// Requests at once on the whole listener; more are answered 503.
    pub max_requests_in_flight: u32,
    /// Requests a second that one connection may give up before they are answered
    /// (CVE-2023-44487, CVE-2025-8671); above it the connection is closed.
    pub max_resets_per_second: u32,
    /// Bytes of one header section, at most 1 MiB.
    pub max_header_bytes: u32,
    /// Fields of one header section; more are answered 431.
    pub max_header_count: u32,
    /// Bytes of path and query; more are answered 414.
    pub max_uri_bytes: u32,
    /// Bytes of one request body, or of each message where it is gRPC's; a longer one breaks off.
    pub max_body_bytes: u64,
    /// Bytes of all messages of one gRPC request together; a longer one breaks off.
    pub max_stream_bytes: u64,
    /// Milliseconds from connecting until TLS is up.
    pub handshake_timeout_ms: u64,
    /// Milliseconds from the first byte of a request until its headers are complete; over HTTP/1.1
    /// also how long a connection may wait for its next request.
    pub header_timeout_ms: u64,
    /// Milliseconds that a request's body may pause while nothing has been answered yet.
    pub body_timeout_ms: u64,
    /// Milliseconds that an answer waits for its client to take some of it; then it is reset.
    pub send_timeout_ms: u64,
    /// Milliseconds without a packet after which a connection is closed.
    pub idle_timeout_ms: u64,
    /// Milliseconds that in-flight requests get to finish once the process ends.
    pub drain_max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 2_500,
            max_handshakes: 1_000,
            retry_above_handshakes: 100,
            max_streams_per_connection: 256,
            max_requests_in_flight: 10_000,
            max_resets_per_second: 512,
            max_header_bytes: 32 << 10,
            max_header_count: 128,
            max_uri_bytes: 8 << 10,
            max_body_bytes: 64 << 20,
            max_stream_bytes: 1 << 40,
            handshake_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            send_timeout_ms: 60_000,
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
        let one_connection = "allow at least one connection";
        let one_request = "allow at least one request";
        need(self.max_connections > 0, "max_connections", one_connection);
        need(self.max_connections_per_address > 0, "max_connections_per_address", one_connection);
        need(self.max_handshakes > 0, "max_handshakes", one_connection);
        need(self.max_streams_per_connection > 0, "max_streams_per_connection", one_request);
        need(self.max_requests_in_flight > 0, "max_requests_in_flight", one_request);
        need(self.max_resets_per_second > 0, "max_resets_per_second", "allow at least one");
        let within = |value: u32, least: u32, most: u32| (least..=most).contains(&value);
        need(within(self.max_header_bytes, 1 << 10, 1 << 20), "max_header_bytes", "choose 1024 to 1048576");
        need(within(self.max_header_count, 16, 4096), "max_header_count", "choose 16 to 4096");
        need(within(self.max_uri_bytes, 256, 1 << 16), "max_uri_bytes", "choose 256 to 65536");
        need(self.handshake_timeout_ms > 0, "handshake_timeout_ms", "choose at least 1");
        need(self.header_timeout_ms > 0, "header_timeout_ms", "choose at least 1");
        need(self.body_timeout_ms > 0, "body_timeout_ms", "choose at least 1");
        need(self.send_timeout_ms > 0, "send_timeout_ms", "choose at least 1");
        let idle = (1_000..=3_600_000).contains(&self.idle_timeout_ms);
        need(idle, "idle_timeout_ms", "choose 1000 to 3600000");
        problems
    }

    /// Requests at once on a new HTTP/3 connection. quinn keeps memory for each that is allowed, and
    /// of ten thousand connections most are idle: these are as many as RFC 9114 (section 6.1) wants
    /// allowed, and one is allowed all once it has half of these in flight or has made a few dozen.
    pub(crate) fn first_streams(&self) -> u32 {
        self.max_streams_per_connection.min(100)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms)
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
