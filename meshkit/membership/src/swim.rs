//! The decisions of one member.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use foca::{AccumulatingRuntime, Codec as _, Foca, NoCustomBroadcast, OwnedNotification, State, Timer};
use meshkit_model::PeerId;
use rand_core::RngCore as _;

use crate::codec::{self, Malformed, Wire, is_state, source, state, states};
use crate::dice::Dice;
use crate::member::{Health, Member, Word};
use crate::tuning::Tuning;

/// What is to be sent for a [`Swim`]. It may be lost, late or there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom.
    pub to: Arc<Member>,
    /// At most [`Swim::MAX_MESSAGE`] bytes; most have at most [`Swim::MAX_DATAGRAM`].
    pub message: Bytes,
}

/// What became of a member. That one is suspected is not told; [`Swim::known`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Joined(Arc<Member>),
    /// It says something else about itself, or another process of its name speaks.
    Updated(Arc<Member>),
    /// It left, or it did not answer anybody for long enough.
    Gone(Arc<Member>),
    /// The others took this member for dead, and it is back under a new edition.
    Rejoined(Arc<Member>),
}

/// How a member stands with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It answers.
    Alive,
    /// It did not answer; it may still speak up.
    Suspect,
    /// It said that it leaves.
    Left,
    /// It did not answer anybody for long enough.
    Dead,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Suspect, Self::Left, Self::Dead];

    /// Whether it counts as being there.
    #[must_use]
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }

    /// The name that people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Left => "left",
            Self::Dead => "dead",
        }
    }
}

/// A member as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it says about itself.
    pub member: Arc<Member>,
    /// How often it refuted that it is gone.
    pub incarnation: u16,
    /// How it stands.
    pub standing: Standing,
}

/// Why a datagram is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none.
    #[error("the datagram is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Its sender speaks for somebody else.
    #[error("`{sender}` speaks for `{claimed}`")]
    Impostor {
        /// Whom the certificate names.
        sender: PeerId,
        /// Whom the datagram names.
        claimed: PeerId,
    },
    /// It is longer than any.
    #[error("the datagram has {0} bytes")]
    TooLong(usize),
    /// It would make more members than there may be.
    #[error("there are {} members already", Swim::MAX_MEMBERS)]
    Full,
    /// It is for another member, or came to an end that SWIM does not know.
    #[error("{0}")]
    Odd(String),
}

impl Refusal {
    /// What it is counted under.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Impostor { .. } => "impostor",
            Self::TooLong(_) => "too-long",
            Self::Full => "full",
            Self::Odd(_) => "odd",
        }
    }
}

/// One member's part in the gossip.
pub struct Swim {
    foca: Foca<Word, Wire, Dice, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Word>,
    dice: Dice,
    tuning: Tuning,
    timers: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    outgoing: VecDeque<Outgoing>,
    changes: VecDeque<Change>,
    /// How it fares and how far its view is, where that is not said yet, and when it may be.
    unsaid: Option<(Health, u64)>,
    may_say_at: Duration,
    compare_at: Duration,
    has_left: bool,
}

/// A timer of foca's: in the order of time, then of foca's own order, then of setting.
struct Due {
    at: Duration,
    timer: Timer<Word>,
    sequence: u64,
}

impl Swim {
    /// The longest datagram in bytes: what QUIC carries in the smallest packets that it allows
    /// (RFC 9000, section 14) less what it adds itself.
    pub const MAX_DATAGRAM: usize = 1_100;
    /// The longest message in bytes: a part of all that a member knows.
    pub const MAX_MESSAGE: usize = 64 << 10;
    /// The most members, those who left or died included.
    pub const MAX_MEMBERS: usize = 4_096;

    /// A member that knows nobody yet. The same seed and the same events make the same decisions.
    #[must_use]
    pub fn new(me: Member, tuning: Tuning, seed: u64) -> Self {
        Self {
            foca: Foca::new(Word::new(me), tuning.config(), Dice(seed), Wire),
            runtime: AccumulatingRuntime::new(),
            dice: Dice(!seed),
            tuning,
            timers: BinaryHeap::new(),
            sequence: 0,
            outgoing: VecDeque::new(),
            changes: VecDeque::new(),
            unsaid: None,
            may_say_at: Duration::ZERO,
            compare_at: tuning.compare_every,
            has_left: false,
        }
    }

    /// What this member says about itself.
    #[must_use]
    pub fn me(&self) -> &Arc<Member> {
        &self.foca.identity().member
    }

    /// When [`tick`](Self::tick) is due where nothing else happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse(due)| due.at);
        let say = self.unsaid.map(|_| self.may_say_at);
        let compare = (!self.has_left).then_some(self.compare_at);
        timer.into_iter().chain(say).chain(compare).min()
    }

    /// What is to be sent now.
    pub fn take_outgoing(&mut self) -> impl Iterator<Item = Outgoing> + '_ {
        self.outgoing.drain(..)
    }

    /// What became of others since this was asked last.
    pub fn take_changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changes.drain(..)
    }

    /// Everybody that this member knows beside itself, in the order of their ids.
    #[must_use]
    pub fn known(&self) -> Vec<Known> {
        let others = self.foca.iter_membership_state().filter(|update| update.id().member.id != self.me().id);
        let mut known: Vec<Known> = others.map(known).collect();
        known.sort_unstable_by(|a, b| a.member.id.cmp(&b.member.id));
        known
    }

    /// One other member as this one knows it.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<Known> {
        let mut all = self.foca.iter_membership_state();
        all.find(|update| update.id().member.id == *id && *id != self.me().id).map(known)
    }

    /// How many members are there beside this one, suspects included.
    #[must_use]
    pub fn present(&self) -> usize {
        self.foca.num_members()
    }

    /// Asks somebody of this name at this address for everybody it knows.
    pub fn announce(&mut self, now: Duration, id: PeerId, address: SocketAddr) {
        if self.has_left || id == self.me().id {
            return;
        }
        let to = Word::new(Member::named(id, address));
        self.tell_all(&to, true);
        let outcome = self.foca.announce(to, &mut self.runtime);
        self.settle(now, outcome.err());
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration) {
        while self.timers.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.timers.pop() else { return };
            if self.has_left {
                continue;
            }
            let outcome = self.foca.handle_timer(due.timer, &mut self.runtime);
            self.settle(now, outcome.err());
        }
        if let Some((health, map_version)) = self.unsaid
            && self.may_say_at <= now
        {
            self.change(now, health, map_version);
        }
        if self.compare_at <= now && !self.has_left {
            self.compare_at = now + self.tuning.compare_every;
            self.compare();
        }
    }

    /// Takes a message of `sender`, as its certificate names it.
    ///
    /// # Errors
    /// Why it was not taken; nothing changed then, or no more than what its first part said.
    pub fn receive(&mut self, now: Duration, sender: &PeerId, message: &[u8]) -> Result<(), Refusal> {
        if message.len() > Self::MAX_MESSAGE {
            return Err(Refusal::TooLong(message.len()));
        }
        let claimed = source(message)?;
        if claimed != *sender {
            return Err(Refusal::Impostor { sender: sender.clone(), claimed });
        }
        if self.has_left {
            return Ok(());
        }
        if is_state(message) {
            return self.take_state(now, state(message)?);
        }
        self.admit(message)?;
        let error = self.foca.handle_data(message, &mut self.runtime).err();
        let outcome = match &error {
            None => Ok(()),
            Some(error) => Err(Refusal::Odd(error.to_string())),
        };
        self.settle(now, error);
        outcome
    }

    /// Says how this member fares and how far its view is: at once where it fares differently, else when it
    /// is time to. Nothing is sent where it said so before.
    pub fn say(&mut self, now: Duration, health: Health, map_version: u64) {
        let me = self.me();
        if self.has_left || (me.health, me.map_version) == (health, map_version) {
            self.unsaid = None;
        } else if me.health != health || self.may_say_at <= now {
            self.change(now, health, map_version);
        } else {
            self.unsaid = Some((health, map_version));
        }
    }

    /// Says goodbye: the others need not find out. Nothing is taken or sent afterwards.
    pub fn leave(&mut self, now: Duration) {
        if !self.has_left {
            let map_version = self.me().map_version;
            self.change(now, Health::Leaving, map_version);
            let outcome = self.foca.leave_cluster(&mut self.runtime);
            self.settle(now, outcome.err());
            self.has_left = true;
        }
    }

    /// Speaks as the next edition of this member.
    fn change(&mut self, now: Duration, health: Health, map_version: u64) {
        self.unsaid = None;
        let others = u32::try_from(self.present()).unwrap_or(u32::MAX);
        self.may_say_at = now + self.tuning.say_every + Tuning::SAY_PER_MEMBER.saturating_mul(others);
        let me = Member::clone(self.me());
        let said = Member { edition: me.edition.wrapping_add(1), health, map_version, ..me };
        let changed = self.foca.change_identity(Word::new(said), &mut self.runtime);
        // foca rests after that until somebody speaks to it; probing goes on at once.
        let goes_on = self.foca.apply_many(std::iter::empty(), false, &mut self.runtime);
        self.settle(now, changed.err().or(goes_on.err()));
    }

    /// Tells somebody everything and asks for the same: what gossip lost is found so.
    fn compare(&mut self) {
        let present: Vec<&Word> = self.foca.iter_members().map(foca::Member::id).collect();
        let Ok(count) = u64::try_from(present.len()) else { return };
        let Some(chosen) = self.dice.next_u64().checked_rem(count) else { return };
        let Some(to) = usize::try_from(chosen).ok().and_then(|at| present.get(at)) else { return };
        let to = Word::clone(to);
        self.tell_all(&to, true);
    }

    fn tell_all(&mut self, to: &Word, asks: bool) {
        let me = foca::Member::new(self.foca.identity().clone(), 0, State::Alive);
        let others = self.foca.iter_membership_state().filter(|update| update.id() != to);
        let messages = states(&me, asks, others, Self::MAX_MESSAGE);
        let outgoing = messages
            .into_iter()
            .map(|message| Outgoing { to: Arc::clone(&to.member), message: message.into() });
        self.outgoing.extend(outgoing);
    }

    fn take_state(&mut self, now: Duration, state: codec::State) -> Result<(), Refusal> {
        self.room_for(std::iter::once(&state.source).chain(&state.members))?;
        let source = state.source.id().clone();
        // That it is there is news; the rest was gossiped already.
        let there = self.foca.apply_many(std::iter::once(state.source), true, &mut self.runtime);
        let known = self.get(&source.member.id);
        // Who is taken for dead learns it from SWIM, and is not believed until then.
        if known.is_some_and(|known| known.standing.is_present()) {
            let taken = self.foca.apply_many(state.members.into_iter(), false, &mut self.runtime);
            self.settle(now, there.err().or(taken.err()));
            if state.asks {
                self.tell_all(&source, false);
            }
        } else {
            self.settle(now, there.err());
        }
        Ok(())
    }

    /// Whether there is room for everybody whom a datagram names.
    fn admit(&self, mut datagram: &[u8]) -> Result<(), Refusal> {
        if self.foca.iter_membership_state().len() + Self::MAX_DATAGRAM / MIN_MEMBER <= Self::MAX_MEMBERS {
            return Ok(());
        }
        let header = Wire.decode_header(&mut datagram)?;
        let mut named = vec![foca::Member::alive(header.src)];
        for _ in 0..datagram.try_get_u16().unwrap_or(0) {
            named.push(Wire.decode_member(&mut datagram)?);
        }
        self.room_for(named.iter())
    }

    fn room_for<'a>(&'a self, named: impl Iterator<Item = &'a foca::Member<Word>>) -> Result<(), Refusal> {
        let all = self.foca.iter_membership_state().chain(named);
        let ids: HashSet<&PeerId> = all.map(|update| &update.id().member.id).collect();
        if ids.len() > Self::MAX_MEMBERS { Err(Refusal::Full) } else { Ok(()) }
    }

    /// Takes over what foca wants done. Its errors are about single datagrams and timers that came
    /// late; none of them stops it.
    fn settle(&mut self, now: Duration, _error: Option<foca::Error>) {
        while let Some((to, message)) = self.runtime.to_send() {
            // It takes its own earlier editions for others.
            if to.member.id != self.foca.identity().member.id {
                self.outgoing.push_back(Outgoing { to: to.member, message });
            }
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.sequence += 1;
            self.timers.push(Reverse(Due { at: now + after, timer, sequence: self.sequence }));
        }
        let me = self.foca.identity().member.id.clone();
        while let Some(told) = self.runtime.to_notify() {
            let change = match told {
                OwnedNotification::MemberUp(word) => Change::Joined(word.member),
                OwnedNotification::MemberDown(word) if word.member.id != me => Change::Gone(word.member),
                OwnedNotification::Rename(_, word) if word.member.id != me => Change::Updated(word.member),
                OwnedNotification::Rejoin(word) => Change::Rejoined(word.member),
                _ => continue,
            };
            self.changes.push_back(change);
        }
    }
}

fn known(update: &foca::Member<Word>) -> Known {
    let member = &update.id().member;
    let standing = match update.state() {
        State::Alive => Standing::Alive,
        State::Suspect => Standing::Suspect,
        State::Down if member.health == Health::Leaving => Standing::Left,
        State::Down => Standing::Dead,
    };
    Known { member: Arc::clone(member), incarnation: update.incarnation(), standing }
}

/// The fewest bytes of a member in a datagram.
const MIN_MEMBER: usize = 32;

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swim")
            .field("me", self.me())
            .field("timers", &self.timers.len())
            .finish_non_exhaustive()
    }
}

impl Due {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, &self.timer, self.sequence).cmp(&(other.at, &other.timer, other.sequence))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order(other)
    }
}
