//! What a member takes from others: whole and well made, in their own name, and no more than it has room for.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use meshkit_membership::{Health, Member, Refusal, Standing, Swim, Tuning};
use meshkit_model::PeerId;
use proptest::prelude::*;

fn id(name: &str) -> PeerId {
    PeerId::new(name).unwrap()
}

fn member(name: &str, address: &str) -> Member {
    Member {
        id: id(name),
        generation: 1,
        edition: 0,
        address: address.parse().unwrap(),
        role: "control-plane".to_owned(),
        cluster: "default".to_owned(),
        zone: "a".to_owned(),
        version: "0.1.0".to_owned(),
        said: 0,
        health: Health::Ready,
        map_version: 0,
    }
}

fn swim(name: &str, address: &str) -> Swim {
    Swim::new(member(name, address), Tuning::default(), 1)
}

/// Everything that `one` says to `two` when it comes.
fn greetings(one: &mut Swim, two: &Swim) -> Vec<Bytes> {
    one.announce(Duration::ZERO, two.me().id.clone(), two.me().address);
    one.take_outgoing().map(|outgoing| outgoing.message).collect()
}

#[test]
fn two_know_each_other_after_a_greeting_whatever_their_addresses_are() {
    for address in ["10.0.0.1:7410", "[2001:db8::1]:7410"] {
        let (mut one, mut two) = (swim("one", address), swim("two", "10.0.0.2:7410"));
        for message in greetings(&mut one, &two) {
            two.receive(Duration::ZERO, &id("one"), &message).unwrap();
        }
        for outgoing in two.take_outgoing().collect::<Vec<_>>() {
            assert_eq!(outgoing.to.address, address.parse::<SocketAddr>().unwrap());
            // Late word is refused now and then; that is no fault.
            let _taken = one.receive(Duration::ZERO, &id("two"), &outgoing.message);
        }
        let known = two.get(&id("one")).unwrap();
        assert_eq!(*known.member, *one.me());
        assert_eq!(*one.get(&id("two")).unwrap().member, *two.me());
    }
}

/// It answers every probe of whoever heard of the suspicion; that alone does not refute it.
#[test]
fn a_suspicion_that_was_only_heard_of_ends_too() {
    let tuning = Tuning { compare_every: Duration::from_secs(3_600), ..Tuning::default() };
    let begin = |name: &str, address: &str| Swim::new(member(name, address), tuning, 1);
    let mut one = begin("one", "10.0.0.1:7410");
    let mut two = begin("two", "10.0.0.2:7410");
    let mut three = begin("three", "10.0.0.3:7410");
    for message in greetings(&mut three, &two) {
        two.receive(Duration::ZERO, &id("three"), &message).unwrap();
    }
    let mut now = Duration::ZERO;
    while two.get(&id("three")).unwrap().standing != Standing::Suspect {
        now += Duration::from_millis(50);
        two.tick(now);
    }
    two.take_outgoing().for_each(drop);
    let heard = greetings(&mut two, &one).remove(0);
    one.receive(now, &id("two"), &heard).unwrap();
    assert_eq!(one.get(&id("three")).unwrap().standing, Standing::Suspect);
    for _ in 0..200 {
        now += Duration::from_millis(50);
        one.tick(now);
        three.tick(now);
        for out in one.take_outgoing().filter(|out| out.to.id == id("three")).collect::<Vec<_>>() {
            let _taken = three.receive(now, &id("one"), &out.message);
        }
        for out in three.take_outgoing().filter(|out| out.to.id == id("one")).collect::<Vec<_>>() {
            let _taken = one.receive(now, &id("three"), &out.message);
        }
    }
    let three = one.get(&id("three")).unwrap();
    assert_eq!((three.standing, three.incarnation), (Standing::Alive, 1));
}

#[test]
fn nobody_speaks_for_another() {
    let (mut one, mut two) = (swim("one", "10.0.0.1:7410"), swim("two", "10.0.0.2:7410"));
    for message in greetings(&mut one, &two) {
        let refusal = two.receive(Duration::ZERO, &id("three"), &message).unwrap_err();
        assert_eq!(refusal, Refusal::Impostor { sender: id("three"), claimed: id("one") });
    }
    assert_eq!((two.present(), two.known().len()), (0, 0));
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let mut one = swim("one", "10.0.0.1:7410");
    let mut refused = 0;
    for n in 0..Swim::MAX_MEMBERS + 50 {
        let name = format!("node-{n}");
        let mut other = swim(&name, "10.0.0.2:7410");
        // The question of SWIM itself, behind all that it knows.
        let message = greetings(&mut other, &one).pop().unwrap();
        refused += usize::from(one.receive(Duration::ZERO, &id(&name), &message) == Err(Refusal::Full));
        one.take_outgoing().for_each(drop);
        one.take_changes().for_each(drop);
    }
    assert_eq!((one.known().len(), refused), (Swim::MAX_MEMBERS, 50));
    let mut all = greetings(&mut swim("last", "10.0.0.3:7410"), &one);
    assert_eq!(one.receive(Duration::ZERO, &id("last"), &all.remove(0)), Err(Refusal::Full));
}

#[test]
fn a_member_whose_texts_are_too_long_or_that_cannot_be_reached_is_none() {
    assert!(member("one", "10.0.0.1:7410").validate().is_ok());
    assert!(member("one", "0.0.0.0:7410").validate().is_err());
    assert!(member("one", "10.0.0.1:0").validate().is_err());
    let long = Member { zone: "z".repeat(Member::MAX_TEXT), ..member("one", "10.0.0.1:7410") };
    assert!(long.validate().is_err());
    let odd = Member { zone: "a\nb".to_owned(), ..member("one", "10.0.0.1:7410") };
    assert!(odd.validate().is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_known(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u8..4) {
        let mut two = swim("two", "10.0.0.2:7410");
        let mut message = vec![kind];
        message.extend(&bytes);
        prop_assert!(two.receive(Duration::ZERO, &id("one"), &message).is_err());
        prop_assert_eq!(two.present(), 0);
    }

    /// A message that was cut or changed anywhere is refused or says something else; it never panics.
    #[test]
    fn no_change_of_a_message_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let (mut one, mut two) = (swim("one", "10.0.0.1:7410"), swim("two", "10.0.0.2:7410"));
        for message in greetings(&mut one, &two) {
            let mut changed = message.to_vec();
            let at = at.index(changed.len());
            if cut { changed.truncate(at) } else { changed[at] = byte }
            let outcome = two.receive(Duration::ZERO, &id("one"), &changed);
            prop_assert!(!cut || outcome.is_err());
        }
    }
}
