//! What one pick costs among 100 busy peers, under criterion.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros make what they make")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use relay_balance::{Ask, Balancer, Budget, Dice, Load, Member, Moment, Strategy, Tuning, hash};

const NOW: Moment = Moment::from_micros(5_000_000);

fn balancer(strategy: Strategy, zone_aware: bool, slow_start: Duration) -> Balancer {
    let tuning = Tuning { strategy, slow_start, zone_aware, max_pending: 1000 };
    let member = |index: u32| {
        let load = Load::new(Moment::default());
        for _ in 0..=index % 7 {
            assert!(load.enter(1000));
        }
        load.succeeded(Duration::from_millis(3), NOW);
        Member {
            id: hash(&index.to_be_bytes()),
            weight: 1 + index % 3 * u32::from(zone_aware),
            near: index < 50,
            up: true,
            load: Arc::new(load),
        }
    };
    Balancer::new(tuning, (0..100).map(member).collect())
}

fn picks(criterion: &mut Criterion) {
    let cases = [
        ("round-robin", Strategy::RoundRobin),
        ("fewest-pending", Strategy::FewestPending),
        ("two-choices", Strategy::TwoChoices),
        ("ring", Strategy::Ring),
        ("sticky", Strategy::Sticky),
    ];
    let dice = Dice::new(1);
    for (name, strategy) in cases {
        let plain = balancer(strategy, false, Duration::ZERO);
        let tuned = balancer(strategy, true, Duration::from_secs(30));
        for (balancer, tuning) in [(plain, "100 peers"), (tuned, "100 peers, weights, zones, slow start")] {
            criterion.bench_function(&format!("{name}: {tuning}"), |bencher| {
                bencher.iter(|| {
                    let random = dice.roll();
                    let ask = Ask { random, now: NOW, key: Some(random & 0xfff), tried: &[] };
                    black_box(balancer.pick(&ask))
                });
            });
        }
    }
    let budget = Budget::new(20, 10);
    criterion.bench_function("budget: a call", |bencher| bencher.iter(|| budget.call(NOW)));
    let load = Load::new(NOW);
    criterion.bench_function("load: enter, succeed, leave", |bencher| {
        bencher.iter(|| {
            let entered = load.enter(1000);
            load.succeeded(Duration::from_millis(3), NOW);
            load.leave();
            entered
        });
    });
}

criterion_group!(benches, picks);
criterion_main!(benches);
