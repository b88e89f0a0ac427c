#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::engine::{self, Attempt, Engine};
use super::*;
use crate::config::load_str;
use crate::error::{ErrorKind, OperatorError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    first: u32,
    second: u32,
    fixed: u32,
}

/// What a section cannot take.
const UNUSABLE: u32 = 13;

/// A daemon with two parts that follow and one that does not.
struct Daemon {
    engine: Engine<Config>,
    text: Arc<Mutex<String>>,
    in_force: Arc<Mutex<Config>>,
}

impl Daemon {
    fn start() -> Self {
        let in_force = Arc::<Mutex<Config>>::default();
        let text = Arc::<Mutex<String>>::default();
        let read = Arc::clone(&text);
        let section = |name, keys, take: fn(&mut Config, u32), of: fn(&Config) -> u32| {
            let in_force = Arc::clone(&in_force);
            Section::new(name, keys, move |loaded| {
                let new = of(&loaded.value);
                if new == UNUSABLE {
                    return Err(
                        OperatorError::new(ErrorKind::Config, "it cannot be used").hint("choose another")
                    );
                }
                let in_force = Arc::clone(&in_force);
                Ok(Staged::new(move || take(&mut in_force.lock().unwrap(), new)))
            })
        };
        let sections = vec![
            section("first", &["first"], |config, new| config.first = new, |config| config.first),
            section("second", &["second"], |config, new| config.second = new, |config| config.second),
        ];
        let read = Box::new(move || load_str("x.toml", &read.lock().unwrap()).map_err(|error| vec![error]));
        let current = engine::value(&Config::default()).unwrap();
        Self { engine: Engine { read, sections, current }, text, in_force }
    }

    fn reload(&mut self, text: &str) -> (Attempt, Config) {
        text.clone_into(&mut self.text.lock().unwrap());
        (self.engine.attempt(), *self.in_force.lock().unwrap())
    }
}

fn write(first: u32, second: u32, fixed: u32) -> String {
    format!("first = {first}\nsecond = {second}\nfixed = {fixed}\n")
}

#[test]
fn a_part_that_cannot_take_it_undoes_the_others() {
    let mut daemon = Daemon::start();
    let (attempt, in_force) = daemon.reload(&write(1, 2, 0));
    assert_eq!((attempt.outcome, attempt.changed), (Outcome::Applied, vec!["first".into(), "second".into()]));
    assert_eq!(in_force, Config { first: 1, second: 2, fixed: 0 });

    let (attempt, same) = daemon.reload(&write(3, UNUSABLE, 0));
    assert_eq!((attempt.outcome, same), (Outcome::RolledBack, in_force));
    assert_eq!(attempt.problems[0].causes().last(), Some("the section `second` cannot take it"));

    let (attempt, _) = daemon.reload(&write(1, 2, 0));
    assert_eq!(attempt.outcome, Outcome::Unchanged);
}

#[test]
fn what_nobody_follows_is_refused_with_its_line() {
    let mut daemon = Daemon::start();
    let (attempt, in_force) = daemon.reload(&write(1, 2, 3));
    assert_eq!((attempt.outcome, in_force), (Outcome::Refused, Config::default()));
    assert_eq!(
        attempt.problems[0].report(false),
        "error: `fixed` cannot change while running\n  where: x.toml:3\n  hint:  take the change back, or restart the daemon to have it"
    );
}

proptest! {
    /// After any series of reloads what is in force is the last whole that was applied: never a mixture.
    #[test]
    fn what_is_in_force_is_always_one_whole(series in proptest::collection::vec((0_u32..16, 0_u32..16, 0_u32..2, any::<bool>()), 1..40)) {
        let mut daemon = Daemon::start();
        let mut expected = Config::default();
        for (first, second, fixed, broken) in series {
            let mut text = write(first, second, fixed);
            if broken {
                text.push_str("thrid = 1\n");
            }
            let (attempt, in_force) = daemon.reload(&text);
            let usable = |new: u32, old: u32| new == old || new != UNUSABLE;
            let wanted = match () {
                () if broken || fixed != 0 => Outcome::Refused,
                () if !usable(first, expected.first) || !usable(second, expected.second) => Outcome::RolledBack,
                () if (first, second) == (expected.first, expected.second) => Outcome::Unchanged,
                () => Outcome::Applied,
            };
            prop_assert_eq!(attempt.outcome, wanted);
            if wanted == Outcome::Applied {
                expected = Config { first, second, fixed };
            }
            prop_assert_eq!(in_force, expected);
            prop_assert_eq!(attempt.problems.is_empty(), wanted.is_success());
        }
    }
}
