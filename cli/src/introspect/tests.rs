#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::time::Duration;

use relay_core::Protocol;
use relay_core::introspect::{Inbound, Introspection, Outbound, OutboundPeer, ProcedureInfo};

use super::{age, render};

#[test]
fn a_relay_is_four_tables() {
    let peer = |url: &str, protocol, calls| OutboundPeer {
        url: url.to_owned(),
        protocol,
        pending: 0,
        calls,
        failures: 0,
    };
    let relay = Introspection {
        node: "relay-1".into(),
        version: "0.1.0".into(),
        uptime_ms: 3_723_000,
        draining: false,
        procedures: vec![ProcedureInfo {
            service: "inventory".into(),
            procedure: "*".into(),
            style: "yarpc".into(),
            outbound: "inventory".into(),
        }],
        inbounds: vec![Inbound {
            name: "data".into(),
            address: "127.0.0.1:7410".into(),
            protocols: Protocol::ALL.to_vec(),
            requests: 12,
            in_flight: 1,
        }],
        outbounds: vec![Outbound {
            name: "inventory".into(),
            protocols: vec![Protocol::Http3, Protocol::Http2],
            chooser: "least-pending".into(),
            peers: vec![
                peer("https://127.0.0.1:7421", Some(Protocol::Http3), 12),
                peer("https://127.0.0.1:7422", None, 0),
            ],
        }],
    };
    let expected = "\
relay-1 0.1.0, serving, up 1h02m

Procedures (1)
  SERVICE    PROCEDURE  STYLE  OUTBOUND
  inventory  *          yarpc  inventory

Inbounds (1)
  NAME  ADDRESS         PROTOCOLS          REQUESTS  IN FLIGHT
  data  127.0.0.1:7410  http3,http2,http1        12          1

Outbounds (1)
  NAME       PROTOCOLS    CHOOSER        PEERS
  inventory  http3,http2  least-pending      2

Peers (2)
  OUTBOUND   URL                     LAST PROTOCOL  PENDING  CALLS  FAILURES
  inventory  https://127.0.0.1:7421  http3                0     12         0
  inventory  https://127.0.0.1:7422  -                    0      0         0
";
    assert_eq!(render(&relay, false), expected);
}

#[test]
fn times_show_their_two_largest_units() {
    for (seconds, text) in [(0, "0s"), (61, "1m01s"), (3600, "1h00m"), (90_000, "1d01h")] {
        assert_eq!(age(Duration::from_secs(seconds)), text);
    }
}
