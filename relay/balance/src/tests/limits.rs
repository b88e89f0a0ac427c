//! Limits in simulation: callers that are too many, peers that get slower, names that never end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::{prop, prop_assert, proptest};

use crate::{AdaptiveLimit, AdaptiveRules, Bucket, CallerDenied, Callers, Dice, Moment, PerCaller, Rate};

const SECOND: u64 = 1_000_000;

/// Peers that serve so many calls at once, each in so many microseconds, the rest in a queue.
#[derive(Clone, Copy)]
struct Peers {
    workers: usize,
    serves_us: u64,
}

#[derive(Debug, Default)]
struct Seen {
    accepted: u64,
    refused: u64,
    /// The sum of the latencies in microseconds.
    took: u64,
}

/// Lets calls arrive at random, so many a second, and says what became of those of each second.
fn simulate(seed: u64, per_second: u64, seconds: u64, peers: impl Fn(u64) -> Peers) -> Vec<Seen> {
    let dice = Dice::new(seed);
    let limit = AdaptiveLimit::new(AdaptiveRules { min: 4, max: 1000, tolerance_percent: 50 });
    let mut seen: Vec<Seen> = (0..seconds).map(|_| Seen::default()).collect();
    // When each worker is free again, and when calls end with when they began.
    let mut free: BinaryHeap<Reverse<u64>> = (0..peers(0).workers).map(|_| Reverse(0)).collect();
    let mut running: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let mut now = 0;
    while now < seconds * SECOND {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let gap = {
            let draw = (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64;
            (-(1.0 - draw).ln() * SECOND as f64 / per_second as f64) as u64
        };
        now += gap;
        while let Some(Reverse((end, began))) =
            running.peek().copied().filter(|Reverse((end, _))| *end <= now)
        {
            let pending = u32::try_from(running.len()).unwrap();
            limit.ended(Duration::from_micros(end - began), false, pending, Moment::from_micros(end));
            running.pop();
        }
        let second = usize::try_from(now / SECOND).unwrap();
        let Some(seen) = seen.get_mut(second) else { break };
        if running.len() >= limit.limit() as usize {
            seen.refused += 1;
            continue;
        }
        let serves = peers(now / SECOND).serves_us;
        // Half of it to one and a half.
        let serves = serves / 2 + dice.roll() % serves;
        let Reverse(begins) = free.pop().unwrap();
        let end = begins.max(now) + serves;
        free.push(Reverse(end));
        running.push(Reverse((end, now)));
        seen.accepted += 1;
        seen.took += end - now;
    }
    seen
}

fn sum(seen: &[Seen]) -> Seen {
    seen.iter().fold(Seen::default(), |sum, one| Seen {
        accepted: sum.accepted + one.accepted,
        refused: sum.refused + one.refused,
        took: sum.took + one.took,
    })
}

#[test]
fn an_overload_is_refused_rather_than_queued() {
    for seed in 0..8 {
        // They can do 2000 a second, and get 4000.
        let seen = simulate(seed, 4000, 90, |_| Peers { workers: 20, serves_us: 10_000 });
        let seen = sum(&seen[20..]);
        assert!(seen.accepted > 70 * 2000 * 85 / 100, "seed {seed}: {seen:?}");
        let average = seen.took / seen.accepted;
        assert!(average < 25_000, "seed {seed}: calls take {average} us instead of 10000: {seen:?}");
    }
}

#[test]
fn whoever_is_not_overloaded_is_not_refused() {
    for (seed, per_second) in (0..8).zip([10, 100, 500, 1000, 1400].into_iter().cycle()) {
        let seen = simulate(seed, per_second, 60, |_| Peers { workers: 20, serves_us: 10_000 });
        let seen = sum(&seen[10..]);
        assert!(seen.refused * 500 <= seen.accepted, "seed {seed}, {per_second}/s: {seen:?}");
    }
}

#[test]
fn peers_that_become_slower_are_learned_anew() {
    for seed in 0..8 {
        // From 2000 a second to 500, of which 300 are needed.
        let slow = |second| Peers { workers: 20, serves_us: if second < 20 { 10_000 } else { 40_000 } };
        let seen = simulate(seed, 300, 90, slow);
        let after = sum(&seen[50..]);
        assert!(after.refused * 50 <= after.accepted, "seed {seed}: {after:?}");
    }
}

#[test]
fn failures_of_overload_take_from_the_limit_and_answers_give_it_back() {
    let limit = AdaptiveLimit::new(AdaptiveRules { min: 4, max: 400, tolerance_percent: 50 });
    let mut now = 0;
    let mut run = |is_overload, calls: u64| {
        for _ in 0..calls {
            now += 10_000;
            limit.ended(Duration::from_millis(10), is_overload, limit.limit(), Moment::from_micros(now));
        }
        limit.limit()
    };
    assert_eq!(run(true, 1000), 4);
    assert!(run(false, 1000) > 100);
    // Callers who give a call no time take nothing from anybody.
    let before = limit.limit();
    for _ in 0..10_000 {
        now += 10_000;
        limit.cut_off(Duration::from_millis(1), 400, Moment::from_micros(now));
    }
    assert_eq!(limit.limit(), before);
}

fn second_of(calls: u64, burst: u64) -> Rate {
    Rate::new(calls, Duration::from_secs(1), burst)
}

proptest! {
    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate(
        calls in 1_u64..100_000,
        burst in 1_u64..1000,
        gaps in prop::collection::vec(0_u64..100_000, 1..300),
    ) {
        let (bucket, rate) = (Bucket::default(), second_of(calls, burst));
        let (mut now, mut taken) = (SECOND, 0_u64);
        for gap in gaps {
            now += gap;
            match bucket.take(rate, Moment::from_micros(now)) {
                Ok(()) => taken += 1,
                Err(wait) => {
                    // Who waits for as long gets one.
                    let later = Moment::from_micros(now) + wait + Duration::from_micros(1);
                    let copy = Bucket::default();
                    copy.set_to(&bucket);
                    prop_assert!(copy.take(rate, later).is_ok());
                }
            }
            let most = burst + (now - SECOND) * calls / SECOND + (now - SECOND) * calls / SECOND / 100 + 1;
            prop_assert!(taken <= most, "{} of {} in {} us", taken, most, now - SECOND);
        }
    }
}

#[test]
fn each_caller_has_its_own_part() {
    let callers = Callers::default();
    let now = Moment::from_micros(SECOND);
    let bounds = PerCaller { rate: Some(second_of(2, 2)), max_pending: Some(3) };
    let enter = |key, now| callers.enter(bounds, key, now);
    assert!(enter(1, now).is_ok() && enter(1, now).is_ok());
    assert_eq!(enter(1, now), Err(CallerDenied::Rate(Duration::from_millis(500))));
    assert!(enter(2, now).is_ok());
    let later = now + Duration::from_millis(500);
    let seat = enter(1, later).unwrap();
    assert_eq!(enter(1, later + Duration::from_secs(9)), Err(CallerDenied::Pending));
    callers.leave(seat);
    assert!(enter(1, later + Duration::from_secs(9)).is_ok());
}

#[test]
fn nobody_escapes_by_coming_under_many_names() {
    let callers = Callers::default();
    let bounds = PerCaller { rate: None, max_pending: Some(2) };
    let dice = Dice::new(7);
    let now = Moment::from_micros(SECOND);
    let seats: Vec<_> = (0..200_000).filter_map(|_| callers.enter(bounds, dice.roll(), now).ok()).collect();
    assert!(seats.len() <= 2 * 8192, "{} calls are in flight", seats.len());
    // Once they have gone, everybody has a place again.
    seats.into_iter().for_each(|seat| callers.leave(seat));
    let seats: Vec<_> = (0..1000).filter_map(|_| callers.enter(bounds, dice.roll(), now).ok()).collect();
    assert_eq!(seats.len(), 1000);
}
