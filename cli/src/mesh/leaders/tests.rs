#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use meshkit_client::v1::LeaderTerm;

use crate::output::Look;

use super::*;

fn lease() -> Lease {
    let at = Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 });
    Lease {
        scope: "module/shards".to_owned(),
        state: LeaderState::Held.into(),
        holder: "meshkit-2".to_owned(),
        session: "00ff".to_owned(),
        fence: 8,
        lease_ms: 2_000,
        resigning: false,
        change: LeaderChange::Renewed.into(),
        previous: Some(LeaderTerm {
            holder: "meshkit-1".to_owned(),
            fence: 7,
            ended: LeaderChange::Expired.into(),
        }),
        since: at,
        changed_at: at,
        record_version: 41,
    }
}

fn now() -> Timestamp {
    "2026-01-01T00:01:30Z".parse().unwrap()
}

#[test]
fn a_table_says_who_leads_and_who_did() {
    let vacant = Lease {
        scope: "global".to_owned(),
        state: LeaderState::Vacant.into(),
        holder: String::new(),
        previous: None,
        ..lease()
    };
    let text = table(&[vacant, lease()], now()).render(0, Look::default());
    let golden = "\
SCOPE          STATE   LEADER     FENCE  SINCE  LEASE MS  PREVIOUS   ENDED
global         vacant  -              8  1m30s      2000  -          -
module/shards  held    meshkit-2      8  1m30s      2000  meshkit-1  expired
";
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines, golden.lines().collect::<Vec<_>>(), "{text}");
}

#[test]
fn a_document_has_the_names_of_the_rest_twin() {
    let golden = json!({
        "scope": "module/shards",
        "state": "held",
        "holder": "meshkit-2",
        "session": "00ff",
        "fence": 8,
        "leaseMs": 2000,
        "resigning": false,
        "change": "renewed",
        "previous": { "holder": "meshkit-1", "fence": 7, "ended": "expired" },
        "since": "2026-01-01T00:00:00Z",
        "changedAt": "2026-01-01T00:00:00Z",
        "recordVersion": 41,
    });
    assert_eq!(record(&lease()), golden);
}

#[test]
fn an_event_is_one_line() {
    let event = WatchLeadersResponse {
        r#type: LeaderEventType::Elected.into(),
        scope: "module/shards".to_owned(),
        holder: "meshkit-2".to_owned(),
        fence: 8,
        lease: Some(Lease { resigning: true, ..lease() }),
        ..WatchLeadersResponse::default()
    };
    let golden = "2026-01-01T00:00:00.000Z  elected  module/shards  leader=meshkit-2  fence=8  resigning";
    assert_eq!(line(&event, now()), golden);
    let expired = WatchLeadersResponse {
        r#type: LeaderEventType::Expired.into(),
        holder: "meshkit-\u{1b}[31m".to_owned(),
        lease: None,
        ..event
    };
    let shown = line(&expired, now());
    assert!(shown.starts_with("2026-01-01T00:01:30.000Z  expired  ") && !shown.contains('\u{1b}'), "{shown}");
}
