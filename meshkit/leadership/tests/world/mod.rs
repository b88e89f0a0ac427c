//! The world of the simulation.

#![allow(unreachable_pub, missing_docs, dead_code, reason = "a test has no readers from outside")]

mod dice;
mod rule;
mod strikes;

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use meshkit_leadership::{Attempt, Candidate, Mono, Outcome, Step, Timing};
use meshkit_model::{Kind, LeaderChange, Lease, Timestamp};
use meshkit_store::{Holds, Write};

use dice::Dice;
pub use rule::Faults;
use rule::{LEASE, candidate, standing, write_of};

const NODES: usize = 5;

struct Node {
    candidate: Candidate,
    /// Which process of this place; a message to an earlier one is lost.
    life: u64,
    /// Its clock shows `offset + true time * rate / 1000`.
    offset: Duration,
    rate: u64,
    stopped_until: Duration,
    cut_until: Duration,
    /// The wake-up that counts; earlier ones were overtaken.
    wake: u64,
}

#[derive(Clone, Debug)]
enum What {
    Wake {
        wake: u64,
    },
    Arrives {
        attempt: Attempt,
    },
    Answered {
        number: u64,
        outcome: Outcome,
    },
    Shown {
        lease: Lease,
    },
    /// The node writes something as the leader: decided now, in the store later.
    Acts,
    ActArrives {
        fence: u64,
    },
    Strike,
}

#[derive(Clone, Debug)]
struct Due {
    node: usize,
    life: u64,
    what: What,
}

pub struct World {
    dice: Dice,
    faults: Faults,
    now: Duration,
    nodes: Vec<Node>,
    store: Option<Lease>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    due: BTreeMap<u64, Due>,
    sequence: u64,
    /// Who led under which fence, by what the store took.
    terms: BTreeMap<u64, String>,
    highest_act: u64,
    pub steps: u64,
    pub overlaps: u64,
    pub refused_under_stale_fences: u64,
    pub told: BTreeMap<LeaderChange, u64>,
    pub digest: u64,
    pub is_told: bool,
    seed: u64,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let mut dice = Dice::new(seed);
        let drift = faults.drift_percent * 10;
        let nodes = (0..NODES)
            .map(|place| Node {
                candidate: candidate(place, 0),
                life: 0,
                offset: Duration::from_millis(dice.below(1_000_000)),
                rate: 1_000 - drift + dice.below(2 * drift + 1),
                stopped_until: Duration::ZERO,
                cut_until: Duration::ZERO,
                wake: 0,
            })
            .collect();
        let mut world = Self {
            dice,
            faults,
            now: Duration::ZERO,
            nodes,
            store: None,
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            terms: BTreeMap::new(),
            highest_act: 0,
            steps: 0,
            overlaps: 0,
            refused_under_stale_fences: 0,
            told: BTreeMap::new(),
            digest: 0,
            is_told: false,
            seed,
        };
        for place in 0..NODES {
            world.begin(place);
        }
        if faults.strikes {
            world.later(Duration::from_millis(500), 0, What::Strike);
        }
        world
    }

    /// A process looks at the store for the first time.
    fn begin(&mut self, place: usize) {
        let local = self.local(place);
        let found = self.store.clone();
        self.nodes[place].candidate.observe(local, found.as_ref());
        let pause = Duration::from_millis(self.dice.below(50));
        self.wake_at(place, self.now + pause);
        self.later(pause, place, What::Acts);
    }

    pub fn elections(&self) -> u64 {
        self.terms.len() as u64
    }

    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// From now on nothing goes wrong.
    pub fn heal(&mut self) {
        self.faults = Faults::none();
        for node in &mut self.nodes {
            (node.stopped_until, node.cut_until) = (self.now, self.now);
        }
    }

    /// After a while without faults one node leads, and goes on leading.
    pub fn expect_one_lasting_leader(&mut self) {
        // A stopped node's wake-up lies as far off as it was to be stopped; a resignation sits out.
        self.pass(Duration::from_secs(30));
        let leader = self.leader();
        assert!(leader.is_some(), "nobody leads; {}", self.replay());
        let fence = self.store.as_ref().unwrap().fence;
        self.pass(Duration::from_secs(20));
        assert_eq!(self.leader(), leader, "another one leads; {}", self.replay());
        assert_eq!(self.store.as_ref().unwrap().fence, fence, "{}", self.replay());
    }

    pub fn kill_leader_and_wait(&mut self) -> Duration {
        let leader = self.leader().unwrap();
        self.kill(leader, Duration::from_secs(60));
        let began = self.now;
        while self.leader().is_none_or(|now| now == leader) {
            self.step();
        }
        self.now - began
    }

    pub fn longest_failover(&self) -> Duration {
        Timing::others(LEASE) + Duration::from_millis(200)
    }

    pub fn ask_leader_to_resign(&mut self) -> (usize, usize, Duration) {
        let before = self.leader().unwrap();
        let asked = self.store.clone().unwrap();
        let asked = Lease { resigning: true, record_version: asked.record_version + 1, ..asked };
        self.show(&asked);
        self.store = Some(asked);
        let began = self.now;
        while self.leader().is_none_or(|now| now == before) {
            self.step();
        }
        (before, self.leader().unwrap(), self.now - began)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn replay(&self) -> String {
        format!("replay with SEED={} (step {}, {:?})", self.seed, self.steps, self.now)
    }

    fn local(&self, place: usize) -> Mono {
        let node = &self.nodes[place];
        let micros = u64::try_from(self.now.as_micros()).unwrap();
        node.offset + Duration::from_micros(micros * node.rate / 1_000)
    }

    /// When the clock of a node shows `local`, rounded up.
    fn when(&self, place: usize, local: Mono) -> Duration {
        let node = &self.nodes[place];
        let ahead = local.saturating_sub(node.offset) + Duration::from_nanos(999);
        let ahead = u64::try_from(ahead.as_micros()).unwrap();
        Duration::from_micros((ahead * 1_000).div_ceil(node.rate)).max(self.now)
    }

    fn leader(&self) -> Option<usize> {
        (0..NODES).find(|place| self.nodes[*place].candidate.leads(self.local(*place)).is_some())
    }

    fn later(&mut self, pause: Duration, node: usize, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + pause, self.sequence)));
        self.due.insert(self.sequence, Due { node, life: self.nodes[node].life, what });
    }

    fn wake_at(&mut self, place: usize, at: Duration) {
        self.nodes[place].wake += 1;
        let wake = self.nodes[place].wake;
        self.later(at.saturating_sub(self.now), place, What::Wake { wake });
    }

    fn step(&mut self) {
        let Some(Reverse((at, number))) = self.queue.pop() else { panic!("nothing is left to happen") };
        let Due { node: place, life, what } = self.due.remove(&number).unwrap();
        self.now = at;
        self.steps += 1;
        // Deaths of processes do not stop what is on its way to the store.
        let in_store = matches!(what, What::Arrives { .. } | What::ActArrives { .. } | What::Strike);
        let node = &self.nodes[place];
        if !in_store && life != node.life {
            return;
        }
        if !in_store && node.stopped_until > self.now {
            // It lies there until the process goes on.
            let pause = node.stopped_until - self.now + Duration::from_micros(self.dice.below(1_000));
            self.later(pause, place, what);
            return;
        }
        self.note(place, &what);
        match what {
            What::Wake { wake } if wake != self.nodes[place].wake => {}
            What::Wake { .. } => self.wake(place),
            What::Arrives { attempt } => self.arrives(place, life, attempt),
            What::Answered { number, outcome } => {
                let local = self.local(place);
                self.nodes[place].candidate.answered(local, number, outcome);
                self.wake(place);
            }
            What::Shown { lease } => {
                let local = self.local(place);
                self.nodes[place].candidate.observe(local, Some(&lease));
                self.wake(place);
            }
            What::Acts => self.acts(place),
            What::ActArrives { fence } => self.act_arrives(fence),
            What::Strike => self.strike(),
        }
        self.judge();
    }

    fn wake(&mut self, place: usize) {
        let (local, at) = (self.local(place), Timestamp::UNIX_EPOCH);
        let step = self.nodes[place].candidate.tick(local, at);
        let events: Vec<_> = self.nodes[place].candidate.take_events().collect();
        for event in events {
            *self.told.entry(event.change).or_default() += 1;
        }
        match step {
            Step::Wait(None) => {}
            Step::Wait(Some(local)) => {
                let at = self.when(place, local);
                self.wake_at(place, at);
            }
            Step::Ask(attempt) => {
                self.send(place, &attempt);
                self.wake(place);
            }
        }
    }

    fn send(&mut self, place: usize, attempt: &Attempt) {
        let number = attempt.number;
        let copies = if self.dice.percent(self.faults.twice_percent) { 2 } else { 1 };
        let cut = self.nodes[place].cut_until > self.now;
        for _ in 0..copies {
            if !cut && !self.dice.percent(self.faults.loss_percent) {
                let pause = self.dice.delay(self.faults.strikes);
                self.later(pause, place, What::Arrives { attempt: attempt.clone() });
            }
        }
        // Whoever waits gives up at some time and cannot know.
        let patience = Duration::from_millis(300 + self.dice.below(4_000));
        self.later(patience, place, What::Answered { number, outcome: Outcome::Unknown });
    }

    fn arrives(&mut self, place: usize, life: u64, attempt: Attempt) {
        let write = write_of(&attempt);
        let outcome = match write.admit(self.store.as_ref().map(standing).as_ref().map(|s| s.as_store())) {
            Ok(version) => {
                let lease = Lease { record_version: version, ..attempt.lease };
                self.remember(&lease);
                self.show(&lease);
                self.store = Some(lease);
                Outcome::Written(version)
            }
            Err(_) => Outcome::Refused,
        };
        let lost = self.nodes[place].cut_until > self.now || self.dice.percent(self.faults.loss_percent);
        if !lost && life == self.nodes[place].life {
            let pause = self.dice.delay(self.faults.strikes);
            self.later(pause, place, What::Answered { number: attempt.number, outcome });
        }
    }

    /// A fence has one holder for ever.
    fn remember(&mut self, lease: &Lease) {
        let Some(holder) = &lease.holder else { return };
        let holder = format!("{holder} {}", lease.session);
        let known = self.terms.entry(lease.fence).or_insert_with(|| holder.clone()).clone();
        assert_eq!(known, holder, "fence {} has two holders; {}", lease.fence, self.replay());
        let highest = self.terms.keys().next_back();
        assert_eq!(highest, Some(&lease.fence), "a fence went back; {}", self.replay());
    }

    /// Everyone who is not cut off sees it at some time; who is sees the latest one later.
    fn show(&mut self, lease: &Lease) {
        for place in 0..NODES {
            let cut = self.nodes[place].cut_until.saturating_sub(self.now);
            let pause = self.dice.delay(self.faults.strikes) + cut;
            self.later(pause, place, What::Shown { lease: lease.clone() });
        }
    }

    /// Somebody who leads decides to write; the write is in the store whenever it gets there.
    fn acts(&mut self, place: usize) {
        if let Some(fence) = self.nodes[place].candidate.leads(self.local(place)) {
            let late = self.faults.strikes && self.dice.percent(5);
            let pause = if late {
                Duration::from_millis(self.dice.below(8_000))
            } else {
                self.dice.delay(self.faults.strikes)
            };
            self.later(pause, place, What::ActArrives { fence });
        }
        let pause = Duration::from_millis(50 + self.dice.below(200));
        self.later(pause, place, What::Acts);
    }

    fn act_arrives(&mut self, fence: u64) {
        let guard = Write::guard(Kind::Lease, "global", Holds::Fence(fence));
        let standing = self.store.as_ref().map(standing);
        match guard.admit(standing.as_ref().map(|standing| standing.as_store())) {
            Ok(_) => {
                assert!(fence >= self.highest_act, "a write under a stale fence; {}", self.replay());
                self.highest_act = fence;
            }
            Err(_) => self.refused_under_stale_fences += 1,
        }
    }

    /// The one thing that must never be.
    fn judge(&mut self) {
        let leads = |place: &usize| self.nodes[*place].candidate.leads(self.local(*place)).is_some();
        let leaders = (0..NODES).filter(leads).count();
        if leaders > 1 {
            self.overlaps += 1;
            let allowed_for = self.faults.drift_percent <= 10;
            assert!(!allowed_for, "{leaders} nodes lead; {}", self.replay());
        }
    }

    fn note(&mut self, place: usize, what: &What) {
        let mut hasher = DefaultHasher::new();
        (self.digest, self.now, place, std::mem::discriminant(what)).hash(&mut hasher);
        self.digest = hasher.finish();
        if self.is_told {
            eprintln!("{:?} node {place}: {what:?}", self.now);
        }
    }
}
