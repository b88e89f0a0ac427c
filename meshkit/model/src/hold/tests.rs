#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use proptest::prelude::*;

use super::*;

#[test]
fn verbs_lead_where_they_say_and_a_cordon_ends_no_drain() {
    use HoldState::{Cordoned, Drained, Draining};
    for (verb, current, expected) in [
        (HoldVerb::Cordon, None, Some(Some(Cordoned))),
        (HoldVerb::Cordon, Some(Draining), None),
        (HoldVerb::Drain, None, Some(Some(Draining))),
        (HoldVerb::Drain, Some(Cordoned), Some(Some(Draining))),
        (HoldVerb::Drain, Some(Drained), None),
        (HoldVerb::Uncordon, Some(Draining), Some(None)),
        (HoldVerb::Uncordon, None, None),
    ] {
        assert_eq!(verb.apply(current), expected, "{verb:?} of {current:?}");
    }
}

#[test]
fn every_verb_is_done_once() {
    for verb in [HoldVerb::Cordon, HoldVerb::Uncordon, HoldVerb::Drain] {
        for state in [None].into_iter().chain(HoldState::ALL.map(Some)) {
            if let Some(next) = verb.apply(state) {
                assert_eq!(verb.apply(next), None, "{verb:?} of {state:?}");
            }
        }
    }
}

#[test]
fn operators_labels_lie_over_the_peers_own() {
    let own = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    let patch = |pairs: &[(&str, Option<&str>)]| -> LabelPatch {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.map(ToOwned::to_owned))).collect()
    };
    let first = patch_labels(&LabelPatch::new(), &patch(&[("a", Some("x")), ("c", Some("3"))])).unwrap();
    let both = patch_labels(&first, &patch(&[("a", None), ("c", Some("4"))])).unwrap();
    let seen = effective_labels(&own, &both);
    assert_eq!(seen, BTreeMap::from([("b".to_owned(), "2".to_owned()), ("c".to_owned(), "4".to_owned())]));
    for bad in [patch(&[]), patch(&[("UPPER", None)]), patch(&[("a", Some("\u{7}"))])] {
        assert!(patch_labels(&first, &bad).is_err(), "{bad:?}");
    }
    let many: LabelPatch = (0..33).map(|n| (format!("k{n}"), None)).collect();
    assert!(patch_labels(&LabelPatch::new(), &many).is_err());
}

proptest! {
    #[test]
    fn a_drain_is_at_a_hundred_exactly_when_nothing_remains(total: u32, remaining: u32) {
        let progress = DrainProgress::new(total, remaining);
        prop_assert!(progress.percent <= 100);
        prop_assert_eq!(progress.percent == 100, remaining == 0);
        prop_assert!(progress.remaining <= progress.total);
    }
}
