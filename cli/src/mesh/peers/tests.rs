#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use meshkit_client::v1::{DrainProgress, Endpoint, Hold, HoldState, Peer, PeerStatus};

use crate::output::Look;

use super::{record, table};

fn peer(id: &str, status: PeerStatus) -> Peer {
    Peer {
        id: id.to_owned(),
        role: "service".into(),
        service: "inventory".into(),
        cluster: "local".into(),
        zone: "dev".into(),
        version: "0.1.0".into(),
        endpoints: vec![Endpoint { url: "https://127.0.0.1:7421".into(), protocols: vec!["http3".into()] }],
        status: status.into(),
        last_seen_at: Some(prost_types::Timestamp { seconds: 1_780_272_000, nanos: 0 }),
        record_version: 2,
        ..Peer::default()
    }
}

#[test]
fn a_table_has_a_line_for_each_peer() {
    let now = "2026-06-01T00:01:05Z".parse().unwrap();
    let progress = Some(DrainProgress { total: 8, remaining: 2, percent: 75 });
    let hold = Some(Hold { state: HoldState::Draining.into(), progress, ..Hold::default() });
    let held = Peer { hold, ..peer("inventory-1", PeerStatus::Alive) };
    let peers = [held, Peer { id: "x".into(), ..Peer::default() }];
    let expected = "\
ID           ROLE     SERVICE    STATUS   HOLD          CLUSTER  ZONE  VERSION  SEEN   ENDPOINT
inventory-1  service  inventory  alive    draining 75%  local    dev   0.1.0    1m05s  https://127.0.0.1:7421
x            -        -          unknown  -             -        -     -        -      -
";
    assert_eq!(table(&peers, now).render(0, Look::default()), expected);
}

#[test]
fn records_have_the_names_of_the_rest_twin() {
    let record = record(&peer("inventory-1", PeerStatus::Suspect));
    assert_eq!(record["status"], "suspect");
    assert_eq!(record["lastSeenAt"], "2026-06-01T00:00:00Z");
    assert_eq!(record["endpoints"][0]["protocols"][0], "http3");
    assert_eq!(record["registeredAt"], serde_json::Value::Null);
}
