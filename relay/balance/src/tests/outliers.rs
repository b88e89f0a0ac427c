//! Ejection, simulated.

use super::*;

const RULES: OutlierRules = OutlierRules {
    consecutive_failures: 5,
    deviation_percent: 190,
    min_calls: 20,
    min_peers: 3,
    base: Duration::from_secs(10),
    max: Duration::from_secs(60),
    max_ejected_percent: 50,
};

#[test]
fn the_time_out_grows_with_every_ejection_and_shrinks_with_good_conduct() {
    let mut outliers = Outliers::new(RULES);
    outliers.set_peers(&[1, 2]);
    let mut now = at(0);
    let mut lengths = Vec::new();
    for _ in 0..8 {
        assert_eq!(outliers.failed(1, 4, now), None);
        let ejection = outliers.failed(1, 5, now).unwrap();
        assert!(outliers.is_ejected(1));
        assert_eq!(outliers.failed(1, 6, now), None);
        lengths.push(ejection.until.since(now).as_secs());
        now = ejection.until;
        assert_eq!(outliers.returned(now), [1]);
    }
    assert_eq!(lengths, [10, 20, 30, 40, 50, 60, 60, 60]);
    for _ in 0..5 {
        outliers.judge(&[], now);
    }
    assert_eq!(outliers.failed(1, 5, now).unwrap().until.since(now).as_secs(), 20);
    assert_eq!(outliers.ejections(1), 9);
}

#[test]
fn a_peer_that_fails_more_than_the_others_is_found() {
    let mut outliers = Outliers::new(RULES);
    let ids: Vec<u64> = (0..8).collect();
    outliers.set_peers(&ids);
    let seen = |id: u64, failed: u32| Seen { id, succeeded: 100 - failed, failed };
    let mut round: Vec<Seen> = ids.iter().map(|id| seen(*id, 2)).collect();
    assert_eq!(outliers.judge(&round, at(0)), []);
    round[3] = seen(3, 40);
    let ejected = outliers.judge(&round, at(1));
    assert_eq!(
        ejected.iter().map(|one| (one.id, one.reason)).collect::<Vec<_>>(),
        [(3, Reason::SuccessRate)]
    );
    // Few calls say nothing.
    round[4] = Seen { id: 4, succeeded: 0, failed: 19 };
    assert_eq!(outliers.judge(&round, at(2)), []);
}

proptest! {
    #[test]
    fn never_more_than_the_share_is_out(
        percent in 0u32..=100, steps in prop::collection::vec((0u64..5000, 0u64..12, 0u8..10), 1..200),
    ) {
        let mut outliers = Outliers::new(OutlierRules { max_ejected_percent: percent, ..RULES });
        let mut ids: Vec<u64> = (0..10).collect();
        outliers.set_peers(&ids);
        let mut now = 0;
        for (passed, peer, what) in steps {
            now += passed;
            match what {
                0 if ids.len() > 1 => {
                    ids.retain(|id| *id != peer);
                    outliers.set_peers(&ids);
                }
                1 if !ids.contains(&peer) => {
                    ids.push(peer);
                    outliers.set_peers(&ids);
                }
                2 => drop(outliers.returned(at(now))),
                3 => {
                    let seen = |id: &u64| Seen { id: *id, succeeded: 100, failed: if *id == peer { 90 } else { 0 } };
                    outliers.judge(&ids.iter().map(seen).collect::<Vec<_>>(), at(now));
                }
                _ => drop(outliers.failed(peer, 5, at(now))),
            }
            let out = ids.iter().filter(|id| outliers.is_ejected(**id)).count();
            prop_assert!(out * 100 <= ids.len() * percent as usize, "{out} of {}", ids.len());
            prop_assert!(ids.iter().filter_map(|id| outliers.until(*id)).all(|it| it <= at(now) + RULES.max));
        }
    }
}
