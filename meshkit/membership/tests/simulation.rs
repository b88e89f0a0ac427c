//! Two hundred members under a clock of their own, with everything between them going wrong, from a
//! seed. `SEED=n` runs one seed, `SEEDS=n` more than the usual ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says by panicking that it failed"
)]

mod world;

use std::time::Duration;

use meshkit_membership::Standing;
use world::{Faults, World, name};

const MEMBERS: usize = 200;

fn seeds(usual: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(usual)).collect(),
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The figures of a mesh of two hundred at a loss of 5 %.
#[test]
fn two_hundred_members_learn_quickly_and_suspect_nobody_to_death() {
    let lossy = Faults { loss_percent: 5, ..Faults::default() };
    for seed in seeds(1) {
        let mut world = World::settled(seed, MEMBERS, lossy);
        let most = MEMBERS * 95 / 100;
        world.leave(17);
        let gone = |world: &World| {
            world.know(17, |known| known.is_some_and(|(_, standing)| standing == Standing::Left)) >= most
        };
        let left = world.until(seconds(10), gone).unwrap();
        world.begin(17, &[0, 1]);
        let there = |world: &World| {
            world.know(17, |known| {
                known.is_some_and(|(member, standing)| member.generation == 2 && standing.is_present())
            }) >= most
        };
        let joined = world.until(seconds(10), there).unwrap();
        world.kill(23);
        let dead = |world: &World| {
            world.know(23, |known| known.is_some_and(|(_, standing)| standing == Standing::Dead)) >= most
        };
        let failed = world.until(seconds(20), dead).unwrap();
        world.say(5, 4_711);
        let told = |world: &World| {
            world.know(5, |known| known.is_some_and(|(member, _)| member.map_version == 4_711)) >= most
        };
        let told = world.until(seconds(10), told).unwrap();
        world.pass(seconds(20));
        let expected = [name(17), name(23)];
        let wrong: Vec<_> = world.gone.iter().filter(|(_, _, id)| !expected.contains(id)).collect();
        assert!(wrong.is_empty(), "taken for dead: {wrong:?}; {}", world.replay());
        eprintln!(
            "seed {seed}: joined {joined:?}, left {left:?}, failed {failed:?}, told {told:?}, {} steps",
            world.steps
        );
        assert!(joined < seconds(2), "{joined:?}; {}", world.replay());
        assert!(left < seconds(2), "{left:?}; {}", world.replay());
        assert!(failed < seconds(5), "{failed:?}; {}", world.replay());
        assert!(told < seconds(2), "{told:?}; {}", world.replay());
    }
}

/// Everybody says all the time how far its view is, which is much of what there is to gossip: nobody is taken
/// for dead for it, who dies is still found, and the last word of each arrives.
#[test]
fn words_of_everybody_drown_nothing() {
    for seed in seeds(1) {
        let mut world = World::settled(seed, 60, Faults { loss_percent: 5, ..Faults::default() });
        for second in 1..=20 {
            for place in 0..60 {
                world.say(place, second);
            }
            world.pass(seconds(1));
        }
        assert!(world.gone.is_empty(), "{:?}; {}", world.gone, world.replay());
        world.kill(7);
        let dead = |world: &World| {
            world.know(7, |known| known.is_some_and(|(_, standing)| standing == Standing::Dead)) == 59
        };
        assert!(world.until(seconds(5), dead).is_some(), "{}", world.replay());
        let told = |world: &World| {
            (0..60).filter(|place| *place != 7).all(|place| {
                let said = |known: Option<(&meshkit_membership::Member, Standing)>| {
                    known.is_some_and(|(member, _)| member.map_version == 20)
                };
                world.know(place, said) == 58
            })
        };
        assert!(world.until(seconds(60), told).is_some(), "{}", world.replay());
    }
}

/// Whatever happened, everybody sees everybody once it is over.
#[test]
fn all_is_in_step_again_after_everything_went_wrong() {
    let mut steps = 0;
    for seed in seeds(3) {
        let faults = Faults { loss_percent: 15, twice_percent: 5, late_percent: 3 };
        let mut world = World::settled(seed, 24, faults);
        for _ in 0..25 {
            let (place, long) = (world.place(), Duration::from_millis(world.below(8_000)));
            match world.below(7) {
                0 | 1 => world.pause(place, long),
                2 => {
                    let cut = world.place();
                    world.part(|place| u32::from(place < cut));
                }
                3 => world.part(|_| 0),
                4 if world.there() > 12 => world.kill(place),
                5 if world.there() > 12 => world.leave(place),
                _ if !world.is_there(place) => world.begin(place, &[0, 1, 2, 3, 4, 5]),
                n => world.say(place, n),
            }
            world.pass(Duration::from_millis(500) + long / 2);
        }
        world.part(|_| 0);
        world.faults = Faults::default();
        for place in (0..24).filter(|place| place % 3 == 0) {
            if !world.is_there(place) {
                world.begin(place, &[0, 1, 2, 3, 4, 5]);
            }
        }
        let healed = world.until(seconds(120), World::is_in_step);
        assert!(healed.is_some(), "they are not in step; {}", world.replay());
        steps += world.steps;
    }
    eprintln!("{steps} steps");
}

/// Both halves take each other for dead, and find each other again.
#[test]
fn a_partition_heals_by_itself() {
    for seed in seeds(2) {
        let mut world = World::settled(seed, 30, Faults { loss_percent: 5, ..Faults::default() });
        world.part(|place| u32::from(place >= 15));
        let apart = |world: &World| (0..30).all(|place| world.alive_seen_by(place) == 14);
        assert!(world.until(seconds(60), apart).is_some(), "{}", world.replay());
        world.part(|_| 0);
        let healed = world.until(seconds(60), World::is_in_step);
        assert!(healed.is_some(), "{}", world.replay());
        assert!(world.rejoined > 0, "somebody was told that it was taken for dead");
        eprintln!("seed {seed}: healed after {healed:?}");
    }
}

/// A pause shorter than the suspicion costs nobody its place.
#[test]
fn who_was_only_slow_refutes_it() {
    for seed in seeds(2) {
        let mut world = World::settled(seed, 30, Faults::default());
        for place in 0..10 {
            world.pause(place, Duration::from_millis(1_500));
            world.pass(seconds(4));
        }
        assert!(world.gone.is_empty(), "{:?}; {}", world.gone, world.replay());
    }
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    let run = |seed| {
        let faults = Faults { loss_percent: 10, twice_percent: 5, late_percent: 5 };
        let mut world = World::settled(seed, 20, faults);
        world.kill(3);
        world.pass(seconds(20));
        (world.digest, world.steps)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
