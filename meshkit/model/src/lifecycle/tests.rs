#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use super::*;
use crate::namespace::Namespace;

fn peer(id: &str) -> PeerId {
    PeerId::new(id).unwrap()
}

fn owned(owner: &str, phase: Phase) -> Shard {
    let namespace = Namespace::new("stock", 1, "inventory");
    Shard { owner: Some(peer(owner)), phase, record_version: 5, fence: 7, ..Shard::new(&namespace, 0, at()) }
}

fn next(shard: Shard, peer_id: &str, ready: bool) -> Shard {
    Shard { successor: Some(Successor { peer: peer(peer_id), ready }), ..shard }
}

fn at() -> Timestamp {
    Timestamp::from_millisecond(1).unwrap()
}

fn say(shard: &Shard, who: &str, word: Word) -> Option<Heard> {
    hear(shard, &Said { peer: peer(who), version: shard.record_version, fence: shard.fence, word }, at())
}

#[track_caller]
fn after(shard: &Shard, who: &str, word: Word) -> Shard {
    match say(shard, who, word) {
        Some(Heard::Changes(shard)) => *shard,
        other => panic!("{other:?}"),
    }
}

fn runs(_: &PeerId) -> Hold {
    Hold::Runs
}

#[test]
fn a_planned_hand_over_goes_through_every_phase() {
    let (a, b) = (peer("a"), peer("b"));
    let shard = owned("a", Phase::Active);
    let named = direct(&shard, Some(&b), runs, at()).unwrap();
    assert_eq!(
        (named.owner.as_ref(), named.phase, named.fence),
        (Some(&a), Phase::Active, 7),
        "it serves on"
    );
    assert_eq!(direct(&named, Some(&b), runs, at()), None, "nothing happens before the successor is ready");
    let ready = after(&named, "b", Word::Ready);
    let draining = direct(&ready, Some(&b), runs, at()).unwrap();
    assert_eq!((draining.phase, draining.fence), (Phase::Draining, 7));
    assert_eq!(direct(&draining, Some(&b), runs, at()), None, "nobody takes it before it is released");
    let released = after(&draining, "a", Word::Released);
    let served = (released.owner.as_ref(), released.phase, released.fence, &released.successor);
    assert_eq!(served, (Some(&b), Phase::Active, 8, &None));
}

#[test]
fn a_new_owner_serves_once_it_is_ready() {
    let unowned = Shard { owner: None, ..owned("x", Phase::Assigned) };
    let named = direct(&unowned, Some(&peer("a")), runs, at()).unwrap();
    assert_eq!((named.phase, named.fence), (Phase::Assigned, 8));
    assert_eq!(named.leader(), None);
    let warming = after(&named, "a", Word::Warming);
    assert_eq!(warming.phase, Phase::Warming);
    assert_eq!(after(&warming, "a", Word::Ready).leader(), Some(&peer("a")));
    // Nobody waits for one that does not serve yet.
    let moved = direct(&warming, Some(&peer("b")), runs, at()).unwrap();
    assert_eq!((moved.owner, moved.fence), (Some(peer("b")), 9));
}

#[test]
fn a_crash_waits_for_the_lease() {
    let shard = next(owned("a", Phase::Active), "b", true);
    let over =
        |gone: &'static str| move |id: &PeerId| if id.as_str() == gone { Hold::Over } else { Hold::Runs };
    let gone = direct(&shard, Some(&peer("b")), over("a"), at()).unwrap();
    assert_eq!((gone.owner, gone.phase, gone.fence), (Some(peer("b")), Phase::Active, 8), "it was ready");
    let cold = Shard { successor: None, ..shard.clone() };
    let gone = direct(&cold, Some(&peer("c")), over("a"), at()).unwrap();
    assert_eq!((gone.owner, gone.phase, gone.fence), (Some(peer("c")), Phase::Assigned, 8));
    let nobody = direct(&cold, None, over("a"), at()).unwrap();
    assert_eq!((nobody.owner.as_ref(), nobody.fence), (None, 8));
    assert_eq!(direct(&nobody, None, runs, at()), None);
    // While its lease runs a silent owner keeps what it has.
    assert_eq!(direct(&cold, None, runs, at()), None);
    let lost = direct(&Shard { phase: Phase::Draining, ..shard }, Some(&peer("a")), over("b"), at()).unwrap();
    assert_eq!((lost.owner, lost.phase, lost.fence), (Some(peer("a")), Phase::Assigned, 8));
}

#[test]
fn words_count_for_one_version_and_from_whom_they_are_about() {
    let shard = next(owned("a", Phase::Draining), "b", true);
    for (version, fence) in [(4, 7), (6, 7), (5, 6), (5, 8)] {
        let said = Said { peer: peer("a"), version, fence, word: Word::Released };
        assert_eq!(hear(&shard, &said, at()), None);
    }
    for word in [Word::Warming, Word::Released, Word::Restarted] {
        assert_eq!(say(&shard, "b", word), None);
    }
    assert_eq!(say(&shard, "b", Word::Ready), Some(Heard::Stands));
    assert_eq!(say(&shard, "c", Word::Ready), None);
    assert_eq!(say(&owned("a", Phase::Active), "a", Word::Released), None);
    assert_eq!(say(&owned("a", Phase::Active), "a", Word::Ready), Some(Heard::Stands));
}

#[test]
fn whoever_restarted_begins_anew_under_another_fence() {
    let again = after(&owned("a", Phase::Active), "a", Word::Restarted);
    assert_eq!((again.owner, again.phase, again.fence), (Some(peer("a")), Phase::Assigned, 8));
    let handed = after(&next(owned("a", Phase::Draining), "b", true), "a", Word::Restarted);
    assert_eq!((handed.owner, handed.phase, handed.fence), (Some(peer("b")), Phase::Active, 8));
}
