//! Nodes that want to lead, a store that decides, and everything between them going wrong, from a
//! seed: messages that are lost, late or twice, partitions, pauses, clocks that run apart, deaths.
//!
//! `SEED=n` runs one seed and tells every step; `SEEDS=n` runs more than the usual ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a test says by panicking that it failed"
)]

mod world;

use std::collections::BTreeMap;

use meshkit_model::LeaderChange;
use world::{Faults, World};

/// Steps of one seed; what is lost in the network counts as one too.
const STEPS: u64 = 20_000;
/// Seeds in CI: two million steps.
const SEEDS: u64 = 100;
/// Seeds of what needs no more.
const FEW: usize = 20;

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

fn run(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    world.is_told = std::env::var_os("SEED").is_some();
    world.run(STEPS);
    world
}

#[test]
fn never_two_leaders_whatever_goes_wrong() {
    let mut told: BTreeMap<LeaderChange, u64> = BTreeMap::new();
    let (mut steps, mut elections, mut refused) = (0, 0, 0);
    for seed in seeds() {
        let mut world = run(seed, Faults::all());
        steps += world.steps;
        elections += world.elections();
        refused += world.refused_under_stale_fences;
        world.heal();
        world.expect_one_lasting_leader();
        for (change, count) in &world.told {
            *told.entry(*change).or_default() += count;
        }
    }
    eprintln!("{steps} steps, {elections} elections, {refused} late writes refused, {told:?}");
    // What never happened was not tried.
    assert!(elections > seeds().len() as u64 * 2 && refused > 0, "{elections} {refused}");
    for change in
        [LeaderChange::Elected, LeaderChange::Renewed, LeaderChange::Expired, LeaderChange::SteppedDown]
    {
        assert!(told.contains_key(&change), "{change} never happened");
    }
}

/// Clocks that go wrong by more than is allowed for may make two nodes believe that they lead; what
/// they write is still accepted of one of them alone.
#[test]
fn the_fence_holds_where_clocks_do_not() {
    let mut overlaps = 0;
    for seed in seeds().into_iter().take(FEW) {
        let world = run(seed, Faults { drift_percent: 60, ..Faults::all() });
        overlaps += world.overlaps;
    }
    // The world is bad enough to show that it is the fence that holds.
    assert!(overlaps > 0 || seeds().len() < 10, "no clock was ever wrong enough");
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in seeds().into_iter().take(3) {
        let (first, second) = (run(seed, Faults::all()), run(seed, Faults::all()));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        let other = run(seed + 1_000_000, Faults::all());
        assert_ne!(first.digest, other.digest, "seed {seed} and another one are told apart");
    }
}

/// A death costs no more than a lease and a tenth of it, and what the messages take.
#[test]
fn somebody_else_leads_soon_after_a_death() {
    for seed in seeds().into_iter().take(FEW) {
        let mut world = World::new(seed, Faults::none());
        world.expect_one_lasting_leader();
        let took = world.kill_leader_and_wait();
        assert!(took <= world.longest_failover(), "seed {seed}: {took:?}");
    }
}

/// Who resigns is followed at once, and not by itself.
#[test]
fn who_resigns_is_followed_at_once() {
    for seed in seeds().into_iter().take(FEW) {
        let mut world = World::new(seed, Faults::none());
        world.expect_one_lasting_leader();
        let (before, after, took) = world.ask_leader_to_resign();
        assert_ne!(before, after, "seed {seed}");
        assert!(took.as_millis() < 500, "seed {seed}: {took:?}");
    }
}
