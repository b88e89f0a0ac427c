#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use super::*;
use PeerStatus::{Alive, Dead, Left, Suspect};

const RULE: Liveness =
    Liveness { suspect_after: Duration::from_secs(3), dead_after: Duration::from_secs(10) };

#[track_caller]
fn check(current: PeerStatus, silence_ms: i64, expected: PeerStatus) {
    let heard_at = Timestamp::from_millisecond(1_000_000).unwrap();
    let now = Timestamp::from_millisecond(1_000_000 + silence_ms).unwrap();
    assert_eq!(RULE.judge(current, heard_at, now), expected);
}

#[test]
fn silence_leads_from_alive_over_suspect_to_dead() {
    check(Alive, 0, Alive);
    check(Alive, 2_999, Alive);
    check(Alive, 3_000, Suspect);
    check(Alive, 9_999, Suspect);
    check(Alive, 10_000, Dead);
    check(Suspect, 10_000, Dead);
}

#[test]
fn nothing_but_the_peer_makes_it_better() {
    check(Suspect, 0, Suspect);
    check(Dead, 0, Dead);
    check(Left, 0, Left);
    check(Left, 100_000, Left);
}

#[test]
fn a_clock_set_back_is_no_evidence() {
    check(Alive, -1_000_000, Alive);
    check(Dead, -1, Dead);
}
