#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use relay_core::Code;

use super::{Place, decide};

#[test]
fn calls_go_to_the_owner_and_never_round_in_circles() {
    assert_eq!(decide("a", "a", false).unwrap(), Place::Here);
    assert_eq!(decide("a", "a", true).unwrap(), Place::Here);
    assert_eq!(decide("b", "a", false).unwrap(), Place::There("b".to_owned()));
    let circle = decide("b", "a", true).unwrap_err();
    assert_eq!((circle.code, circle.name.as_deref()), (Code::Unavailable, Some("stale-owner")));
    assert_eq!(decide("", "a", false).unwrap_err().code, Code::Unavailable);
}
