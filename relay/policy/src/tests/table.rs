//! The table says what the policy says.

use jiff::Timestamp;
use proptest::prelude::*;
use relay_core::{Encoding, Protocol};

use super::{at, data_plane, exception, strict, with};
use crate::*;

fn transports() -> impl Strategy<Value = Vec<Transport>> {
    proptest::sample::subsequence(Transport::ALL.to_vec(), 0..=4)
}

fn encodings() -> impl Strategy<Value = Vec<Encoding>> {
    proptest::sample::subsequence(Encoding::ALL.to_vec(), 0..=3)
}

/// Whole names, and beginnings within beginnings.
const PATTERNS: [&str; 9] = ["A::b", "A::*", "A::b*", "A::bc*", "A*", "*", "B::c", "B*", "A::"];

prop_compose! {
    fn an_exception()(
        name in "[a-c]",
        scope in proptest::sample::select(vec!["data:http", "data:*", "outbound:x", "*"]),
        procedures in proptest::collection::vec(proptest::sample::select(PATTERNS.to_vec()), 0..3),
        transports in transports(),
        encodings in encodings(),
        seconds in 0i64..100,
    ) -> Exception {
        Exception {
            name,
            scope: scope.to_owned(),
            procedures: procedures.into_iter().map(ToOwned::to_owned).collect(),
            transports,
            encodings,
            expires: Timestamp::from_second(seconds).unwrap(),
            ..exception()
        }
    }
}

prop_compose! {
    fn a_policy()(
        exceptions in proptest::collection::vec(an_exception(), 0..12),
        transports in transports(),
        encodings in encodings(),
        required in any::<bool>(),
    ) -> PolicyConfig {
        let mut config = with(exceptions);
        // Names are unique in a policy that is taken.
        for (index, exception) in config.exceptions.iter_mut().enumerate() {
            exception.name = format!("{}{index}", exception.name);
        }
        let rule = CategoryRule { transports, encodings, preferred_required: required, ..strict() };
        config.categories.insert("own".to_owned(), rule);
        config.endpoints.insert("data:http".to_owned(), "own".to_owned());
        config
    }
}

proptest! {
    #[test]
    fn every_cell_agrees_with_the_rule_book(
        config in a_policy(),
        offered in proptest::sample::subsequence(Protocol::ALL.to_vec(), 0..=3),
        procedure in proptest::sample::select(vec!["", "A", "A::", "A::a", "A::b", "A::bb", "A::bcd", "A::x", "B::c", "C"]),
        seconds in 0i64..100,
    ) {
        let policy = Policy::new(&config);
        let endpoint = data_plane("data:http", &offered);
        let compiled = policy.compile(&endpoint);
        let now = Timestamp::from_second(seconds).unwrap();
        for wire in Wire::all() {
            let decision = compiled.decide(wire, procedure, now);
            let name = |index: usize| compiled.exceptions()[index].name.as_str();
            match (decision, policy.evaluate(&endpoint, wire, Some(procedure), now)) {
                (Decision::Allowed, Verdict::Allowed) | (Decision::Refused(None), Verdict::Refused(None)) => {}
                (Decision::Excepted(index), Verdict::Excepted(exception))
                | (Decision::Refused(Some(index)), Verdict::Refused(Some(exception))) => {
                    prop_assert_eq!(name(index), exception.name.as_str());
                }
                (decision, verdict) => prop_assert!(false, "{decision:?} and {verdict:?} for {wire}"),
            }
        }
    }

    #[test]
    fn the_protocols_of_a_call_are_among_the_foreseen(config in a_policy(), seconds in 0i64..100) {
        let endpoint = data_plane("data:http", &Protocol::ALL);
        let compiled = Policy::new(&config).compile(&endpoint);
        let offered = Protocols::from_iter(Protocol::ALL);
        let foreseen = compiled.protocol_sets(offered);
        let now = Timestamp::from_second(seconds).unwrap();
        for style in Style::ALL {
            for encoding in Encoding::ALL {
                let set = compiled.protocols(offered, style, encoding, "A::b", now);
                prop_assert!(set.is_empty() || foreseen.contains(&set), "{set:?} of {foreseen:?}");
            }
        }
    }
}

#[test]
fn each_wire_has_a_place_of_its_own() {
    let mut places: Vec<usize> = Wire::all().map(Wire::index).collect();
    places.sort_unstable();
    assert_eq!(places, (0..Wire::COUNT).collect::<Vec<_>>());
}

#[test]
fn an_exception_for_some_procedures_is_for_no_other() {
    let exception = Exception {
        scope: "data:http".into(),
        procedures: vec!["Old::*".into()],
        transports: vec![Transport::Http1],
        ..exception()
    };
    let mut config = with(vec![exception]);
    config.categories.insert("edge".into(), strict());
    config.endpoints.insert("data:http".into(), "edge".into());
    let endpoint = data_plane("data:http", &Protocol::ALL);
    let compiled = Policy::new(&config).compile(&endpoint);
    let wire = Wire { protocol: Protocol::Http1, style: Style::Http, encoding: Encoding::Protobuf };
    let ask = |procedure, now| compiled.decide(wire, procedure, at(now));
    assert_eq!(ask("Old::Read", "2026-01-01T00:00:00Z"), Decision::Excepted(0));
    assert_eq!(ask("New::Read", "2026-01-01T00:00:00Z"), Decision::Refused(None));
    assert_eq!(ask("", "2026-01-01T00:00:00Z"), Decision::Refused(None));
    assert_eq!(ask("Old::Read", "2027-01-01T00:00:00Z"), Decision::Refused(Some(0)));
}
