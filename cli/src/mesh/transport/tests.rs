#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use relay_core::observe::{DowngradeStats, EndpointStats, ExceptionStats, TransportStats, WireStats};
use relay_core::{DowngradeReason, Encoding, Protocol};

use super::{Look, render};

fn endpoint(name: &str, category: &str) -> EndpointStats {
    EndpointStats {
        endpoint: name.to_owned(),
        category: category.to_owned(),
        preferred: Some(Protocol::Http3),
        calls: 0,
        downgraded: 0,
        downgrade_ratio: 0.0,
        refused: 0,
        wires: vec![],
        downgrades: vec![],
        exceptions: vec![],
    }
}

#[test]
fn stats_are_four_tables() {
    let wire = |protocol, encoding, answered, refused| WireStats {
        protocol,
        encoding,
        answered,
        failed: 0,
        refused,
    };
    let data = EndpointStats {
        calls: 16,
        downgraded: 4,
        downgrade_ratio: 0.25,
        refused: 2,
        wires: vec![
            wire(Protocol::Http3, Encoding::Protobuf, 12, 0),
            wire(Protocol::Http1, Encoding::Json, 4, 2),
        ],
        downgrades: vec![DowngradeStats { reason: DowngradeReason::PolicyException, calls: 4 }],
        exceptions: vec![ExceptionStats {
            name: "old-agents".into(),
            expires: "2027-01-01T00:00:00Z".parse().unwrap(),
            expired: true,
            used: 4,
            refused: 2,
        }],
        ..endpoint("data:http", "edge")
    };
    let stats = TransportStats {
        node: "relay-1".into(),
        since: "2026-06-01T00:00:00.123Z".parse().unwrap(),
        endpoints: vec![data, endpoint("diagnostics:http", "diagnostics")],
    };
    let expected = "\
relay-1, counting since 2026-06-01T00:00:00Z

Endpoints (2)
  ENDPOINT          CATEGORY     WANTED  CALLS  DOWNGRADED  RATIO  REFUSED
  data:http         edge         http3      16           4   0.25        2
  diagnostics:http  diagnostics  http3       0           0   0.00        0

Calls (2)
  ENDPOINT   PROTOCOL  ENCODING  ANSWERED  FAILED  REFUSED
  data:http  http3     protobuf        12       0        0
  data:http  http1     json             4       0        2

Downgrades (1)
  ENDPOINT   REASON            CALLS
  data:http  policy-exception      4

Exceptions (1)
  ENDPOINT   NAME        STATE    EXPIRES               USED  REFUSED
  data:http  old-agents  expired  2027-01-01T00:00:00Z     4        2
";
    assert_eq!(render(&stats, Look::default()), expected);
}
