#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::time::Duration;

use relay_core::Protocol;
use relay_core::fault::{Delay, Fault};
use relay_core::introspect::{
    Inbound, Introspection, Latency, Outbound, OutboundPeer, PeerState, ProcedureInfo, Refused, Route,
};

use super::{Look, age, render};

#[test]
fn a_relay_is_five_tables() {
    let peer = |url: &str, protocol, calls, state, latency| OutboundPeer {
        url: url.to_owned(),
        protocol,
        pending: 0,
        calls,
        failures: 0,
        state,
        weight: 1,
        zone: String::new(),
        ejections: u64::from(state == PeerState::Ejected),
        latency,
    };
    let latency = Latency { p50_us: 1250, p90_us: 2000, p99_us: 10_040 };
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
        routes: vec![Route {
            name: "stock".into(),
            service: "inventory".into(),
            pending: Some(3),
            limit: Some(10),
            refused: vec![Refused { reason: "rate".into(), calls: 7 }],
            fault: Some(Fault { delay: Some(Delay { ms: 200, percent: 5 }), abort: None }),
            shadow: None,
        }],
        inbounds: vec![Inbound {
            name: "data".into(),
            address: "127.0.0.1:7410".into(),
            protocols: Protocol::ALL.to_vec(),
            requests: 12,
            in_flight: 1,
            compressed: 0,
        }],
        outbounds: vec![Outbound {
            name: "inventory".into(),
            protocols: vec![Protocol::Http3, Protocol::Http2],
            chooser: "two-choices".into(),
            shards: None,
            peers: vec![
                peer("https://127.0.0.1:7421", Some(Protocol::Http3), 12, PeerState::Up, Some(latency)),
                peer("https://127.0.0.1:7422", None, 0, PeerState::Ejected, None),
            ],
        }],
    };
    let expected = "\
relay-1 0.1.0, serving, up 1h02m

Procedures (1)
  SERVICE    PROCEDURE  STYLE  OUTBOUND
  inventory  *          yarpc  inventory

Routes (1)
  NAME   SERVICE    PENDING  LIMIT  REFUSED  FAULT             COPIES
  stock  inventory        3     10        7  delay 200 ms 5 %  -

Inbounds (1)
  NAME  ADDRESS         PROTOCOLS          REQUESTS  IN FLIGHT
  data  127.0.0.1:7410  http3,http2,http1        12          1

Outbounds (1)
  NAME       PROTOCOLS    CHOOSER      PEERS
  inventory  http3,http2  two-choices      2

Peers (2)
  OUTBOUND   URL                     STATE    LAST PROTOCOL  PENDING  CALLS  FAILURES  EJECTIONS      P50       P99
  inventory  https://127.0.0.1:7421  up       http3                0     12         0          0  1.25 ms  10.04 ms
  inventory  https://127.0.0.1:7422  ejected  -                    0      0         0          1        -         -
";
    assert_eq!(render(&relay, Look::default()), expected);
}

#[test]
fn times_show_their_two_largest_units() {
    for (seconds, text) in [(0, "0s"), (61, "1m01s"), (3600, "1h00m"), (90_000, "1d01h")] {
        assert_eq!(age(Duration::from_secs(seconds)), text);
    }
}
