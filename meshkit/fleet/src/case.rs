//! One case of a suite: what is done to the fleet, and what it cost callers.

use std::time::Duration;

use crate::check::Called;
use crate::fleet::Fleet;
use crate::load::{self, Load};

/// How long the shards of an owner that was killed may be without an answer.
const PROMISED: Duration = Duration::from_secs(3);

/// Whether all cases are to run (`FLEET=all`), each held to its figures, or those that a gate has time for.
#[must_use]
pub fn is_thorough() -> bool {
    std::env::var_os("FLEET").is_some_and(|wanted| wanted == "all")
}

/// A case that began.
pub struct Case<'a> {
    load: &'a Load,
    since: u64,
    what: String,
    /// The shards of whoever is struck.
    struck: Vec<u32>,
}

/// The calls that a case may have cost.
#[derive(Debug)]
pub struct Cost {
    since: u64,
    until: u64,
    /// None where all shards are concerned, as they are by a relay.
    shards: Option<Vec<u32>>,
}

impl<'a> Case<'a> {
    /// Begins before `name` is struck.
    pub async fn begin(fleet: &Fleet, load: &'a Load, name: &str, what: &str) -> Self {
        let shards = fleet.shards().await;
        let struck = shards.iter().filter(|shard| shard.leader == name).map(|shard| shard.id).collect();
        Self { load, since: load::now(), what: format!("{name} {what}"), struck }
    }

    /// Waits until every shard of whoever was struck has an owner that answers, or calls have gone on for a while.
    pub async fn recovered(&self) {
        match self.struck.is_empty() {
            true => self.load.goes_on(1_000).await,
            false => self.load.answered(&self.struck).await,
        }
    }

    /// Says how it went.
    ///
    /// # Panics
    /// Where nobody answered for too long for the shards of an owner that was killed, if all figures are looked at.
    #[must_use]
    pub fn end(self) -> Cost {
        let Self { load, since, what, struck } = self;
        let gaps = load.gaps(since);
        let of_struck = gaps.longest(|shard| struck.contains(&shard));
        let of_others = gaps.longest(|shard| !struck.contains(&shard));
        println!("{what}: without an answer: {of_struck:?} its shards, {of_others:?} others");
        let is_late = is_thorough() && what.ends_with("killed") && of_struck >= PROMISED;
        assert!(!is_late, "{what}: nobody answered for {of_struck:?}");
        let shards = if what.starts_with("relay") { None } else { Some(struck) };
        Cost { since, until: load::now(), shards }
    }
}

impl Cost {
    /// Whether a call was under way to whoever was struck.
    fn explains(&self, failed: &Called) -> bool {
        let concerns = self.shards.as_ref().is_none_or(|shards| shards.contains(&failed.shard));
        concerns && failed.began < self.until && self.since < failed.ended
    }
}

/// Ends the load and looks at what callers and owners wrote down. No call may have failed that can be repeated; of the others, where all
/// figures are looked at, only those that a case explains. (A machine that stands still for a third of a second breaks connections too.)
///
/// # Panics
/// Where something is wrong.
pub async fn judge(fleet: &Fleet, load: Load, costs: &[Cost]) {
    let called = load.stop().await;
    let accepted = fleet.accepted();
    let faults = crate::check::faults(&accepted, &called);
    assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), &faults[..faults.len().min(5)]);
    let failed: Vec<&Called> = called.iter().filter(|one| one.answer.is_err()).collect();
    let may_fail =
        |one: &Called| !one.idempotent && (!is_thorough() || costs.iter().any(|cost| cost.explains(one)));
    let mut wrong: Vec<_> = failed.iter().filter(|one| !may_fail(one)).collect();
    wrong.sort_by_key(|one| !one.idempotent);
    assert!(
        wrong.is_empty(),
        "{} calls failed without need: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    let (all, failed) = (called.len(), failed.len());
    println!("{all} calls, {} accepted, all under the fence of their time; {failed} failed", accepted.len());
}
