//! Simulations from seeds, and properties.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test says by panicking that it failed"
)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use crate::{
    Ask, Backoff, Balancer, Budget, Dice, Load, Member, Moment, OutlierRules, Outliers, Reason, Seen,
    Strategy, Tuning, hash,
};

mod limits;
mod outliers;

const ALL: [Strategy; 5] =
    [Strategy::RoundRobin, Strategy::FewestPending, Strategy::TwoChoices, Strategy::Ring, Strategy::Sticky];

fn at(millis: u64) -> Moment {
    Moment::from_micros(millis * 1000)
}

fn tuning(strategy: Strategy) -> Tuning {
    Tuning { strategy, slow_start: Duration::ZERO, zone_aware: false, max_pending: 1000 }
}

fn members(count: usize) -> Vec<Member> {
    let member = |index: usize| Member {
        id: hash(format!("https://peer-{index}:1").as_bytes()),
        weight: 1,
        near: true,
        up: true,
        load: Arc::new(Load::new(at(0))),
    };
    (0..count).map(member).collect()
}

fn ask(random: u64, now: Moment) -> Ask<'static> {
    Ask { random, now, key: None, tried: &[] }
}

/// How many of `calls` each peer gets where every call ends before the next begins.
fn spread(balancer: &Balancer, calls: u64, now: Moment) -> Vec<u64> {
    let dice = Dice::new(7);
    let mut counts = vec![0; balancer.members().len()];
    for call in 0..calls {
        let key = Some(hash(&call.to_be_bytes()));
        let picked = balancer.pick(&Ask { key, ..ask(dice.roll(), now) }).unwrap();
        counts[picked] += 1;
        balancer.members()[picked].load.succeeded(Duration::from_millis(1), now);
    }
    counts
}

#[test]
fn calls_spread_evenly_with_every_strategy() {
    for (strategy, tolerance) in ALL.into_iter().zip([0.001, 0.2, 0.25, 0.45, 0.25]) {
        let balancer = Balancer::new(tuning(strategy), members(10));
        for count in spread(&balancer, 20_000, at(5)) {
            let off = (count as f64 / 2000.0 - 1.0).abs();
            assert!(off <= tolerance, "{strategy:?}: {count} of 2000");
        }
    }
}

#[test]
fn calls_spread_by_weight() {
    for (strategy, tolerance) in [(Strategy::RoundRobin, 0.001), (Strategy::Ring, 0.25)] {
        let mut peers = members(4);
        (peers[0].weight, peers[1].weight) = (3, 6);
        let counts = spread(&Balancer::new(tuning(strategy), peers), 11_000, at(5));
        for (count, share) in counts.into_iter().zip([3.0, 6.0, 1.0, 1.0]) {
            let off = (count as f64 / (share * 1000.0) - 1.0).abs();
            assert!(off <= tolerance, "{strategy:?}: {count} for weight {share}");
        }
    }
}

/// Servers with one queue each, Poisson-like arrivals; the share of calls that the slow one gets.
fn share_of_the_slow_one(strategy: Strategy) -> f64 {
    let balancer = Balancer::new(tuning(strategy), members(5));
    let dice = Dice::new(3);
    let mut running: Vec<(u64, usize, u64)> = Vec::new();
    let mut slow = 0;
    for call in 0..20_000_u64 {
        let micros = call * 500;
        running.retain(|(end, peer, began)| {
            let over = *end <= micros;
            if over {
                let load = &balancer.members()[*peer].load;
                load.leave();
                load.succeeded(Duration::from_micros(end - began), Moment::from_micros(*end));
            }
            !over
        });
        let picked = balancer.pick(&ask(dice.roll(), Moment::from_micros(micros))).unwrap();
        assert!(balancer.members()[picked].load.enter(1000));
        let service = if picked == 2 { 20_000 } else { 1_000 };
        running.push((micros + service, picked, micros));
        slow += u64::from(picked == 2);
    }
    slow as f64 / 20_000.0
}

#[test]
fn a_slow_peer_gets_fewer_calls_where_load_is_looked_at() {
    assert!((share_of_the_slow_one(Strategy::RoundRobin) - 0.2).abs() < 0.001);
    assert!(share_of_the_slow_one(Strategy::FewestPending) < 0.08);
    assert!(share_of_the_slow_one(Strategy::TwoChoices) < 0.06);
}

#[test]
fn a_peer_that_fails_at_once_does_not_look_fast() {
    let balancer = Balancer::new(tuning(Strategy::TwoChoices), members(3));
    let dice = Dice::new(5);
    let mut failed = 0;
    for call in 0..3000 {
        let now = at(call);
        let picked = balancer.pick(&ask(dice.roll(), now)).unwrap();
        let load = &balancer.members()[picked].load;
        if picked == 0 {
            failed += 1;
            load.failed(Duration::from_micros(50), now);
        } else {
            load.succeeded(Duration::from_millis(5), now);
        }
    }
    assert!(failed < 100, "{failed} of 3000 went to the peer that fails");
}

#[test]
fn a_newcomer_gets_more_and_more_until_it_has_its_share() {
    for strategy in [Strategy::RoundRobin, Strategy::TwoChoices, Strategy::FewestPending] {
        let slow_start = Duration::from_secs(10);
        let balancer = Balancer::new(Tuning { slow_start, ..tuning(strategy) }, members(4));
        balancer.members()[0].load.begins(at(20_000));
        let mut shares = Vec::new();
        for second in [20, 22, 24, 26, 28, 30] {
            // Each peer is busy with some calls, as loads that are nought have nothing to compare.
            let counts = spread_busy(&balancer, at(second * 1000));
            shares.push(counts[0]);
        }
        assert!(shares.is_sorted(), "{strategy:?}: {shares:?}");
        assert!(shares[0] < 500 && (700..1300).contains(&shares[5]), "{strategy:?}: {shares:?}");
    }
}

/// As [`spread`] with twelve calls in flight at any time.
fn spread_busy(balancer: &Balancer, now: Moment) -> Vec<u64> {
    let dice = Dice::new(11);
    let mut counts = vec![0; balancer.members().len()];
    let mut running = std::collections::VecDeque::new();
    for _ in 0..4000 {
        let picked = balancer.pick(&ask(dice.roll(), now)).unwrap();
        counts[picked] += 1;
        assert!(balancer.members()[picked].load.enter(1000));
        running.push_back(picked);
        if running.len() > 12 {
            balancer.members()[running.pop_front().unwrap()].load.leave();
        }
    }
    running.iter().for_each(|peer| balancer.members()[*peer].load.leave());
    counts
}

#[test]
fn calls_stay_in_the_zone_and_spill_over_by_its_health() {
    let mut peers = members(10);
    peers[5..].iter_mut().for_each(|peer| peer.near = false);
    for strategy in [Strategy::RoundRobin, Strategy::FewestPending, Strategy::TwoChoices] {
        let all = Balancer::new(Tuning { zone_aware: true, ..tuning(strategy) }, peers.clone());
        let near = |up: usize| {
            let balancer = all.with_states(|index| index < up || index >= 5);
            spread(&balancer, 10_000, at(5))[..5].iter().sum::<u64>() as f64 / 10_000.0
        };
        assert!((near(5) - 1.0).abs() < 1e-9 && (near(4) - 1.0).abs() < 1e-9);
        assert!((near(2) - 0.56).abs() < 0.03, "{}", near(2));
        assert!(near(0) < 1e-9);
        let none = all.with_states(|_| false);
        assert_eq!(spread(&none, 10_000, at(5)).iter().sum::<u64>(), 10_000);
    }
}

#[test]
fn a_key_sticks_to_its_peer_until_that_is_gone() {
    let peers = members(5);
    let balancer = Balancer::new(tuning(Strategy::Sticky), peers[..4].to_vec());
    let dice = Dice::new(1);
    let keys: Vec<u64> = (0..500_u64).map(|key| hash(&key.to_be_bytes())).collect();
    let place = |balancer: &Balancer| -> Vec<usize> {
        let pick = |key: &u64| balancer.pick(&Ask { key: Some(*key), ..ask(dice.roll(), at(1)) }).unwrap();
        keys.iter().map(pick).collect()
    };
    let before = place(&balancer);
    let grown = balancer.with_members(peers);
    assert_eq!(place(&grown), before);
    let after = place(&grown.with_states(|index| index != 2));
    for (before, after) in before.into_iter().zip(after) {
        assert!(after != 2 && (before == 2 || before == after));
    }
}

#[test]
fn a_full_or_tried_peer_is_passed_over() {
    for strategy in ALL {
        let balancer = Balancer::new(Tuning { max_pending: 2, ..tuning(strategy) }, members(3));
        let tried = [balancer.members()[0].id];
        assert!(balancer.members()[1].load.enter(2) && balancer.members()[1].load.enter(2));
        assert!(!balancer.members()[1].load.enter(2));
        for random in 0..100 {
            let ask = Ask { key: Some(hash(&[9])), tried: &tried, ..ask(random, at(1)) };
            assert_eq!(balancer.pick(&ask), Some(2), "{strategy:?}");
        }
        let tried = [balancer.members()[0].id, balancer.members()[2].id];
        assert_eq!(balancer.pick(&Ask { tried: &tried, ..ask(1, at(1)) }), None);
        assert_eq!(Balancer::new(tuning(strategy), Vec::new()).pick(&ask(1, at(1))), None);
    }
}

fn owners(balancer: &Balancer) -> Vec<u64> {
    let owner = |key: u64| {
        let key = Some(hash(&key.to_be_bytes()));
        balancer.members()[balancer.pick(&Ask { key, ..ask(1, at(1)) }).unwrap()].id
    };
    (0..2000).map(owner).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_ring_moves_only_what_it_must(count in 2usize..40, leaving in 0usize..40) {
        let peers = members(count);
        let leaving = peers[leaving % count].id;
        let full = Balancer::new(tuning(Strategy::Ring), peers.clone());
        let before = owners(&full);
        let left: Vec<Member> = peers.into_iter().filter(|peer| peer.id != leaving).collect();
        let after = owners(&full.with_members(left));
        let down = owners(&full.with_states(|index| full.members()[index].id != leaving));
        let moved = before.iter().filter(|owner| **owner == leaving).count();
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(*before == leaving || before == after);
        }
        // A peer that is down gives its keys to those that would have them without it.
        prop_assert_eq!(after, down);
        prop_assert!(moved as f64 <= 2000.0 / count as f64 * 1.6 + 20.0, "{moved} of {count}");
    }

    #[test]
    fn the_budget_is_never_exceeded(
        percent in 0u32..50, floor in 0u32..4, steps in prop::collection::vec((0u64..400, any::<bool>()), 1..600),
    ) {
        let budget = Budget::new(percent, floor);
        let (mut now, mut calls, mut retries) = (0, Vec::new(), Vec::new());
        for (passed, is_call) in steps {
            now += passed;
            let second = now / 1000;
            if is_call {
                budget.call(at(now));
                calls.push(second);
                continue;
            }
            let counted = |seconds: &[u64]| seconds.iter().filter(|one| second - **one < 10).count() as u64;
            let allowed = u64::from(floor) * 10 + counted(&calls) * u64::from(percent) / 100;
            let granted = budget.retry(at(now));
            prop_assert_eq!(granted, counted(&retries) < allowed);
            if granted {
                retries.push(second);
            }
        }
    }

    #[test]
    fn a_wait_is_within_its_bound(retry in 1u32..100, random: u64, base in 1u64..1000, factor in 1u64..100) {
        let backoff = Backoff { base: Duration::from_millis(base), max: Duration::from_millis(base * factor) };
        let wait = backoff.wait(retry, random);
        prop_assert!(wait <= backoff.max);
        prop_assert!(wait <= backoff.base.saturating_mul(1 << (retry - 1).min(20)));
    }
}
