#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use crate::output::Look;

use super::*;

fn member() -> Member {
    Member {
        id: "meshkit-2".to_owned(),
        status: MemberStatus::Alive.into(),
        since: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
        address: "10.0.0.2:7410".to_owned(),
        role: "control-plane".to_owned(),
        cluster: "prod-eu".to_owned(),
        zone: "eu-1".to_owned(),
        version: "0.1.0".to_owned(),
        health: MemberHealth::Ready.into(),
        map_version: 4_711,
        generation: 1_767_225_599_000,
        incarnation: 1,
        is_self: true,
    }
}

#[test]
fn a_table_says_how_each_stands_and_who_answers() {
    let dead = Member {
        id: "meshkit-3".to_owned(),
        status: MemberStatus::Dead.into(),
        zone: String::new(),
        is_self: false,
        ..member()
    };
    let now = "2026-01-01T00:01:30Z".parse().unwrap();
    let text = table(&[member(), dead], now).render(0, Look::default());
    let golden = "\
ID          STATUS  SINCE  HEALTH  ROLE           CLUSTER  ZONE  VERSION  ADDRESS         MAP
meshkit-2*  alive   1m30s  ready   control-plane  prod-eu  eu-1  0.1.0    10.0.0.2:7410  4711
meshkit-3   dead    1m30s  ready   control-plane  prod-eu  -     0.1.0    10.0.0.2:7410  4711
";
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines, golden.lines().collect::<Vec<_>>(), "{text}");
}

#[test]
fn a_document_has_the_names_of_the_rest_twin() {
    let golden = json!({
        "id": "meshkit-2",
        "status": "alive",
        "since": "2026-01-01T00:00:00Z",
        "address": "10.0.0.2:7410",
        "role": "control-plane",
        "cluster": "prod-eu",
        "zone": "eu-1",
        "version": "0.1.0",
        "health": "ready",
        "mapVersion": 4711,
        "generation": 1_767_225_599_000_u64,
        "incarnation": 1,
        "isSelf": true,
    });
    assert_eq!(record(&member()), golden);
}
