//! Picks a peer for a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::group::Group;
use crate::load::Load;
use crate::moment::Moment;
use crate::random::{again, below, happens};
use crate::ring::Ring;
use crate::sticky::Sticky;

/// Peers that are drawn before all of them are looked through.
const DRAWS: usize = 4;
/// Peers of which the least busy is taken.
const SAMPLE: usize = 4;
/// How much a zone's peers can take beside their usual share, as Envoy's overprovisioning factor.
const SPARE: f64 = 1.4;

/// How a peer is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest calls in flight.
    FewestPending,
    /// The cheaper of two drawn at random, by peak EWMA of latency and calls in flight ("The Power
    /// of Two Choices in Randomized Load Balancing", Mitzenmacher 2001).
    TwoChoices,
    /// The owner of the call's key on a consistent-hash ring.
    Ring,
    /// The one that the call's key went to before, for as long as it is there.
    Sticky,
}

/// What holds for all picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How a peer is picked.
    pub strategy: Strategy,
    /// How long a new or returned peer gets less than its share; zero for not at all.
    pub slow_start: Duration,
    /// Whether peers that are near are preferred.
    pub zone_aware: bool,
    /// Most calls in flight to one peer.
    pub max_pending: u32,
}

/// A peer as the balancer sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Tells peers apart: the same in every relay, such as the [`hash`](crate::hash) of its address.
    pub id: u64,
    /// Its share of the calls beside others', at least 1.
    pub weight: u32,
    /// Whether it is in the caller's zone.
    pub near: bool,
    /// Whether it may get calls.
    pub up: bool,
    /// What is known of it.
    pub load: Arc<Load>,
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// 64 random bits.
    pub random: u64,
    /// When.
    pub now: Moment,
    /// The hash of what the call is placed by; without one, a ring draws and nothing sticks.
    pub key: Option<u64>,
    /// The ids of peers that are not to be picked: they were tried.
    pub tried: &'a [u64],
}

/// Picks a peer for a call, without lock or allocation. It is made anew whenever peers come, go,
/// fail or recover, and keeps from the one before it what outlives that.
#[derive(Debug)]
pub struct Balancer {
    tuning: Tuning,
    members: Box<[Member]>,
    near: Group,
    far: Group,
    /// The share of calls that stays near.
    near_share: f64,
    /// Nobody is up, so that all are used.
    none_up: bool,
    /// Whether peers differ in nothing but their calls in flight.
    equals: bool,
    /// The upper halves of the ids in order, with the indices.
    by_id: Box<[(u32, u32)]>,
    turn: Arc<AtomicUsize>,
    ring: Option<Arc<Ring>>,
    sticky: Option<Arc<Sticky>>,
}

impl Balancer {
    /// A balancer over some peers. Where none of them is up, all are used: calling a peer that is
    /// said to be away is better than not calling at all.
    #[must_use]
    pub fn new(tuning: Tuning, members: Vec<Member>) -> Self {
        let ring = (tuning.strategy == Strategy::Ring)
            .then(|| Arc::new(Ring::new(members.iter().map(|member| (member.id, member.weight)))));
        let sticky = (tuning.strategy == Strategy::Sticky).then(|| Arc::new(Sticky::new()));
        Self::build(tuning, members.into(), Arc::default(), ring, sticky)
    }

    /// The same peers after some of them went up or down.
    #[must_use]
    pub fn with_states(&self, is_up: impl Fn(usize) -> bool) -> Self {
        let members = self.members.iter().enumerate();
        let members = members.map(|(index, member)| Member { up: is_up(index), ..member.clone() }).collect();
        Self::build(self.tuning, members, Arc::clone(&self.turn), self.ring.clone(), self.sticky.clone())
    }

    /// Other peers; keys stay where they were as far as their peers are still there.
    #[must_use]
    pub fn with_members(&self, members: Vec<Member>) -> Self {
        let new = Self::new(self.tuning, members);
        let (turn, sticky) = (Arc::clone(&self.turn), self.sticky.clone());
        Self { turn, sticky, ..new }
    }

    fn build(
        tuning: Tuning,
        members: Box<[Member]>,
        turn: Arc<AtomicUsize>,
        ring: Option<Arc<Ring>>,
        sticky: Option<Arc<Sticky>>,
    ) -> Self {
        let none_up = !members.iter().any(|member| member.up);
        let is_near = |member: &Member| member.near || !tuning.zone_aware;
        let group = |near: bool| {
            let of_group = members
                .iter()
                .zip(0_u32..)
                .filter(|(member, _)| (member.up || none_up) && is_near(member) == near);
            Group::new(&of_group.map(|(member, index)| (index, member.weight.max(1))).collect::<Vec<_>>())
        };
        let (near, far) = (group(true), group(false));
        let all_near = members.iter().filter(|member| is_near(member)).count();
        let near_share = match (near.is_empty(), far.is_empty()) {
            (_, true) => 1.0,
            (true, false) => 0.0,
            (false, false) => (SPARE * ratio(near.count(), all_near)).min(1.0),
        };
        let mut by_id: Vec<_> =
            members.iter().zip(0..).map(|(member, index)| (upper(member.id), index)).collect();
        by_id.sort_unstable();
        let weight = members.first().map(|first| first.weight);
        let equals =
            tuning.slow_start.is_zero() && members.iter().all(|member| Some(member.weight) == weight);
        let by_id = by_id.into();
        Self { tuning, members, near, far, near_share, none_up, equals, by_id, turn, ring, sticky }
    }

    /// The peers, in the order of the indices that [`Balancer::pick`] gives.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Picks a peer: its index. `None` where there is none that was not tried and has room.
    #[must_use]
    pub fn pick(&self, ask: &Ask<'_>) -> Option<usize> {
        match (self.tuning.strategy, ask.key) {
            (Strategy::Ring, Some(key)) => {
                let ring = self.ring.as_ref()?;
                let takes = |index: &usize| self.is_used(*index) && self.fits(*index, ask);
                ring.from(key).take(self.members.len() * 8).find(takes).or_else(|| self.draw(ask))
            }
            (Strategy::Sticky, Some(key)) => {
                let sticky = self.sticky.as_ref()?;
                let before = sticky.get(key).and_then(|id| self.find(id));
                if let Some(index) = before.filter(|index| self.fits(*index, ask)) {
                    return Some(index);
                }
                let index = self.draw(ask)?;
                sticky.put(key, upper(self.members.get(index)?.id), ask.random);
                Some(index)
            }
            _ => self.draw(ask),
        }
    }

    /// Picks by load or turn, from the group that the call stays in.
    fn draw(&self, ask: &Ask<'_>) -> Option<usize> {
        let near = self.near_share >= 1.0 || happens(again(ask.random), self.near_share);
        let (first, second) = if near { (&self.near, &self.far) } else { (&self.far, &self.near) };
        self.draw_from(first, ask).or_else(|| self.draw_from(second, ask))
    }

    fn draw_from(&self, group: &Group, ask: &Ask<'_>) -> Option<usize> {
        if group.is_empty() {
            return None;
        }
        let picked = match self.tuning.strategy {
            Strategy::RoundRobin => self.next_turn(group, ask),
            Strategy::FewestPending => self.fewest(group, ask),
            Strategy::TwoChoices | Strategy::Ring | Strategy::Sticky => self.cheaper_of_two(group, ask),
        };
        picked.or_else(|| {
            let start = below(ask.random, group.count());
            group.all_from(start).find(|index| self.fits(*index, ask))
        })
    }

    fn next_turn(&self, group: &Group, ask: &Ask<'_>) -> Option<usize> {
        let mut random = ask.random;
        let mut cold = None;
        for _ in 0..DRAWS {
            let turn = self.turn.fetch_add(1, Relaxed) % group.len();
            let Some(index) = group.turn(turn).filter(|index| self.fits(*index, ask)) else { continue };
            if self.is_warm(index, ask.now, random) {
                return Some(index);
            }
            cold = cold.or(Some(index));
            random = again(random);
        }
        cold
    }

    fn cheaper_of_two(&self, group: &Group, ask: &Ask<'_>) -> Option<usize> {
        let mut random = ask.random;
        let mut first: Option<(usize, f64)> = None;
        for _ in 0..DRAWS {
            let index = group.turn(below(random, group.len()));
            let is_new = |index: &usize| first.is_none_or(|(first, _)| first != *index);
            if let Some(index) = index.filter(is_new).filter(|index| self.fits(*index, ask)) {
                let cost = self.cost(index, ask.now);
                match first {
                    Some((_, cheapest)) if cost < cheapest => return Some(index),
                    Some((first, _)) => return Some(first),
                    None => first = Some((index, cost)),
                }
            }
            random = again(random);
        }
        first.map(|(index, _)| index)
    }

    /// The least busy of some. Where there are more, it is the least busy of [`SAMPLE`] drawn ones,
    /// which with so many is hardly worse and does not touch every peer for every call.
    fn fewest(&self, group: &Group, ask: &Ask<'_>) -> Option<usize> {
        let start = below(ask.random, group.count());
        if group.count() <= SAMPLE {
            return self.least_busy(group.all_from(start), ask);
        }
        let mut random = ask.random;
        let drawn = (0..SAMPLE).filter_map(|_| {
            random = again(random);
            group.turn(below(random, group.len()))
        });
        self.least_busy(drawn, ask)
    }

    fn least_busy(&self, indices: impl Iterator<Item = usize>, ask: &Ask<'_>) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for index in indices.filter(|index| self.fits(*index, ask)) {
            let Some(member) = self.members.get(index) else { continue };
            let pending = f64::from(member.load.pending());
            if pending == 0.0 && self.equals {
                return Some(index);
            }
            let share = member.load.warmth(ask.now, self.tuning.slow_start);
            let load = (pending + 1.0) / if self.equals { 1.0 } else { share * f64::from(member.weight) };
            if best.is_none_or(|(_, least)| load < least) {
                best = Some((index, load));
            }
        }
        best.map(|(index, _)| index)
    }

    fn cost(&self, index: usize, now: Moment) -> f64 {
        let Some(member) = self.members.get(index) else { return f64::MAX };
        member.load.cost(now) / member.load.warmth(now, self.tuning.slow_start)
    }

    fn is_warm(&self, index: usize, now: Moment, random: u64) -> bool {
        let Some(member) = self.members.get(index) else { return false };
        let warmth = member.load.warmth(now, self.tuning.slow_start);
        warmth >= 1.0 || happens(random, warmth)
    }

    /// Whether a peer was not tried and has room for one more call.
    fn fits(&self, index: usize, ask: &Ask<'_>) -> bool {
        self.members.get(index).is_some_and(|member| {
            !ask.tried.contains(&member.id) && member.load.pending() < self.tuning.max_pending
        })
    }

    fn is_used(&self, index: usize) -> bool {
        self.none_up || self.members.get(index).is_some_and(|member| member.up)
    }

    /// The peer whose id begins so, where it is used.
    fn find(&self, upper: u32) -> Option<usize> {
        let at = self.by_id.binary_search_by_key(&upper, |(id, _)| *id).ok()?;
        let index = self.by_id.get(at)?.1 as usize;
        self.is_used(index).then_some(index)
    }
}

/// The upper half of an id, which is never 0.
fn upper(id: u64) -> u32 {
    u32::try_from(id >> 32).unwrap_or(0).max(1)
}

#[allow(clippy::cast_precision_loss, reason = "there are few peers")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
