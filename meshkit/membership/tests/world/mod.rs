//! The world of the simulation: members, the network between them, and what goes wrong.

#![allow(unreachable_pub, missing_docs, dead_code, reason = "a test has no readers from outside")]

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use meshkit_membership::{Change, Health, Member, Standing, Swim, Tuning};
use meshkit_model::PeerId;

/// What goes wrong of a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub loss_percent: u64,
    pub twice_percent: u64,
    pub late_percent: u64,
}

struct Node {
    swim: Option<Swim>,
    life: u64,
    stopped_until: Duration,
    side: u32,
    wake: Duration,
}

enum What {
    Wake,
    Arrives { sender: PeerId, bytes: Bytes },
}

pub struct World {
    seed: u64,
    dice: u64,
    pub faults: Faults,
    pub now: Duration,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    due: BTreeMap<u64, (usize, u64, What)>,
    sequence: u64,
    pub steps: u64,
    pub digest: u64,
    /// Who was told to be gone, by whom, at which time.
    pub gone: Vec<(Duration, usize, String)>,
    pub rejoined: u64,
}

pub fn name(place: usize) -> String {
    format!("node-{place:03}")
}

fn address(place: usize) -> SocketAddr {
    format!("10.0.{}.{}:7410", place / 250, place % 250).parse().unwrap()
}

fn member(place: usize, life: u64) -> Member {
    Member {
        id: PeerId::new(name(place)).unwrap(),
        generation: life,
        edition: 0,
        address: address(place),
        role: "control-plane".to_owned(),
        cluster: "prod-eu".to_owned(),
        zone: format!("eu-{}", place % 3),
        version: "0.1.0".to_owned(),
        said: 0,
        health: Health::Ready,
        map_version: 1,
    }
}

impl World {
    /// Places without processes; nobody is there yet.
    pub fn new(seed: u64, places: usize, faults: Faults) -> Self {
        let node =
            || Node { swim: None, life: 0, stopped_until: Duration::ZERO, side: 0, wake: Duration::MAX };
        Self {
            seed,
            dice: seed ^ 0x5DEE_CE66,
            faults,
            now: Duration::ZERO,
            nodes: (0..places).map(|_| node()).collect(),
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            digest: 0,
            gone: Vec::new(),
            rejoined: 0,
        }
    }

    /// As many members that all know each other.
    pub fn settled(seed: u64, places: usize, faults: Faults) -> Self {
        let mut world = Self::new(seed, places, Faults::default());
        for place in 0..places {
            world.begin(place, &[0, 1]);
            world.pass(Duration::from_millis(20));
        }
        let everybody = |world: &Self| (0..places).all(|place| world.alive_seen_by(place) == places - 1);
        let took = world.until(Duration::from_secs(60), everybody);
        assert!(took.is_some(), "they do not find each other; {}", world.replay());
        world.faults = faults;
        world
    }

    pub fn replay(&self) -> String {
        format!("replay with SEED={} (step {}, {:?})", self.seed, self.steps, self.now)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn percent(&mut self, n: u64) -> bool {
        n > 0 && self.below(100) < n
    }

    pub fn place(&mut self) -> usize {
        let places = self.nodes.len() as u64;
        usize::try_from(self.below(places)).unwrap()
    }

    /// A process begins and asks its seeds.
    pub fn begin(&mut self, place: usize, seeds: &[usize]) {
        let life = self.nodes[place].life + 1;
        let seed = self.below(u64::MAX);
        let mut swim = Swim::new(member(place, life), Tuning::default(), seed);
        for seed in seeds.iter().filter(|seed| **seed != place) {
            // Of a seed only its certificate's name is known.
            swim.announce(self.now, PeerId::new(name(*seed)).unwrap(), address(*seed));
        }
        self.nodes[place].life = life;
        self.nodes[place].swim = Some(swim);
        self.settle(place);
    }

    pub fn kill(&mut self, place: usize) {
        self.nodes[place].swim = None;
        self.nodes[place].wake = Duration::MAX;
    }

    pub fn leave(&mut self, place: usize) {
        let now = self.now;
        if let Some(swim) = &mut self.nodes[place].swim {
            swim.leave(now);
        }
        self.settle(place);
        self.kill(place);
    }

    pub fn pause(&mut self, place: usize, time: Duration) {
        self.nodes[place].stopped_until = self.now + time;
    }

    /// Nodes hear those of their own side alone.
    pub fn part(&mut self, side: impl Fn(usize) -> u32) {
        for (place, node) in self.nodes.iter_mut().enumerate() {
            node.side = side(place);
        }
    }

    pub fn say(&mut self, place: usize, map_version: u64) {
        let now = self.now;
        if let Some(swim) = &mut self.nodes[place].swim {
            swim.say(now, Health::Ready, map_version);
        }
        self.settle(place);
    }

    pub fn is_there(&self, place: usize) -> bool {
        self.nodes[place].swim.is_some()
    }

    pub fn there(&self) -> usize {
        self.nodes.iter().filter(|node| node.swim.is_some()).count()
    }

    /// Those who know `about` in a way.
    pub fn know(&self, about: usize, how: impl Fn(Option<(&Member, Standing)>) -> bool) -> usize {
        let id = PeerId::new(name(about)).unwrap();
        let others = self.nodes.iter().enumerate().filter(|(place, _)| *place != about);
        others
            .filter_map(|(_, node)| node.swim.as_ref())
            .filter(|swim| {
                let found = swim.get(&id);
                how(found.as_ref().map(|known| (&*known.member, known.standing)))
            })
            .count()
    }

    pub fn alive_seen_by(&self, place: usize) -> usize {
        self.nodes[place].swim.as_ref().map_or(0, Swim::present)
    }

    /// Whether everybody who is there sees exactly those who are there.
    pub fn is_in_step(&self) -> bool {
        let there: Vec<String> =
            (0..self.nodes.len()).filter(|place| self.is_there(*place)).map(name).collect();
        (0..self.nodes.len()).filter(|place| self.is_there(*place)).all(|place| {
            let Some(swim) = &self.nodes[place].swim else { return false };
            let known = swim.known();
            if known.iter().any(|known| known.standing == Standing::Suspect) {
                return false;
            }
            let seen = known.iter().filter(|known| known.standing.is_present());
            let mut seen: Vec<&str> = seen.map(|known| known.member.id.as_str()).collect();
            let own = name(place);
            seen.push(&own);
            seen.sort_unstable();
            seen == there
        })
    }

    /// Lets time pass until something holds, looked at every 50 ms; how long that took.
    pub fn until(&mut self, at_most: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let began = self.now;
        while self.now < began + at_most {
            if holds(self) {
                return Some(self.now - began);
            }
            self.pass(Duration::from_millis(50));
        }
        holds(self).then(|| self.now - began)
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse((at, _))| *at <= end) {
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let Some(Reverse((at, number))) = self.queue.pop() else { return };
        let (place, life, what) = self.due.remove(&number).unwrap();
        self.now = self.now.max(at);
        let node = &mut self.nodes[place];
        if node.life != life || node.swim.is_none() {
            return;
        }
        if node.stopped_until > self.now {
            let until = node.stopped_until;
            self.later(until, place, what);
            return;
        }
        self.steps += 1;
        let now = self.now;
        let Some(swim) = &mut node.swim else { return };
        match what {
            What::Wake => {
                node.wake = Duration::MAX;
                swim.tick(now);
            }
            What::Arrives { sender, bytes } => {
                // Late word about an identity of the past is refused now and then; that is no fault.
                let _taken = swim.receive(now, &sender, &bytes);
                let mut hasher = DefaultHasher::new();
                (self.digest, now, place, &bytes).hash(&mut hasher);
                self.digest = hasher.finish();
            }
        }
        self.settle(place);
    }

    fn later(&mut self, at: Duration, place: usize, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.due.insert(self.sequence, (place, self.nodes[place].life, what));
    }

    /// Does what a member wants done.
    fn settle(&mut self, place: usize) {
        let Some(swim) = &mut self.nodes[place].swim else { return };
        let outgoing: Vec<_> = swim.take_outgoing().collect();
        let changes: Vec<_> = swim.take_changes().collect();
        let next = swim.next_at();
        for out in outgoing {
            assert!(out.message.len() <= Swim::MAX_MESSAGE, "{}", out.message.len());
            self.send(place, &out.to, &out.message);
        }
        for change in changes {
            match change {
                Change::Gone(member) => self.gone.push((self.now, place, member.id.to_string())),
                Change::Rejoined(_) => self.rejoined += 1,
                Change::Joined(_) | Change::Updated(_) => {}
            }
        }
        if let Some(next) = next.filter(|next| *next < self.nodes[place].wake) {
            self.nodes[place].wake = next;
            self.later(next.max(self.now), place, What::Wake);
        }
    }

    fn send(&mut self, from: usize, to: &Member, bytes: &Bytes) {
        let there: usize = to.id.as_str().trim_start_matches("node-").parse().unwrap();
        if self.nodes[from].side != self.nodes[there].side {
            return;
        }
        let copies = if self.percent(self.faults.twice_percent) { 2 } else { 1 };
        for _ in 0..copies {
            if self.percent(self.faults.loss_percent) {
                continue;
            }
            let late = self.percent(self.faults.late_percent);
            let micros = 200 + self.below(if late { 1_000_000 } else { 3_000 });
            let at = self.now + Duration::from_micros(micros);
            let sender = PeerId::new(name(from)).unwrap();
            self.later(at, there, What::Arrives { sender, bytes: bytes.clone() });
        }
    }
}
