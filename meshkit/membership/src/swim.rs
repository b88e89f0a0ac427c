//! The decisions of one member.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use foca::{AccumulatingRuntime, Codec as _, Foca, OwnedNotification, State};
use meshkit_model::PeerId;
use rand_core::RngCore as _;

use crate::codec::{self, Wire, is_state, put_item, source, state, states};
use crate::dice::Dice;
use crate::known::{Change, Known, Outgoing, Refusal, known};
use crate::member::{Health, Member, Word};
use crate::news::{Item, News};
use crate::timers::Timers;
use crate::tuning::Tuning;

/// A suspicion: of whom, which process of it, which edition, and which incarnation it has to exceed.
type Suspect = (PeerId, u64, u32, u16);

/// One member's part in the gossip.
pub struct Swim {
    foca: Foca<Word, Wire, Dice, News>,
    runtime: AccumulatingRuntime<Word>,
    news: News,
    dice: Dice,
    tuning: Tuning,
    timers: Timers,
    outgoing: VecDeque<Outgoing>,
    changes: VecDeque<Change>,
    /// How it fares and how far its view is, where that is not said yet, and when it may be.
    unsaid: Option<(Health, u64)>,
    may_say_at: Duration,
    compare_at: Duration,
    /// Whom the last look found suspect, and for how many looks.
    suspects: BTreeMap<Suspect, u32>,
    review_at: Duration,
    has_left: bool,
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
        let news = News::default();
        let foca =
            Foca::with_custom_broadcast(Word::new(me), tuning.config(), Dice(seed), Wire, news.clone());
        Self {
            foca,
            news,
            runtime: AccumulatingRuntime::new(),
            dice: Dice(!seed),
            tuning,
            timers: Timers::default(),
            outgoing: VecDeque::new(),
            changes: VecDeque::new(),
            unsaid: None,
            may_say_at: Duration::ZERO,
            compare_at: tuning.compare_every,
            suspects: BTreeMap::new(),
            review_at: tuning.suspect_for,
            has_left: false,
        }
    }

    /// What this member says about itself.
    #[must_use]
    pub fn me(&self) -> Arc<Member> {
        self.news.overlay(&self.foca.identity().member)
    }

    fn id(&self) -> &PeerId {
        &self.foca.identity().member.id
    }

    /// When [`tick`](Self::tick) is due where nothing else happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        let say = self.unsaid.map(|_| self.may_say_at);
        let compare = (!self.has_left).then_some(self.compare_at.min(self.review_at));
        self.timers.next_at().into_iter().chain(say).chain(compare).min()
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
        let others = self.foca.iter_membership_state().filter(|update| update.id().member.id != *self.id());
        let mut known: Vec<Known> = others.map(|update| known(update, &self.news)).collect();
        known.sort_unstable_by(|a, b| a.member.id.cmp(&b.member.id));
        known
    }

    /// One other member as this one knows it.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<Known> {
        let mut all = self.foca.iter_membership_state();
        all.find(|update| update.id().member.id == *id && id != self.id())
            .map(|update| known(update, &self.news))
    }

    /// How many members are there beside this one, suspects included.
    #[must_use]
    pub fn present(&self) -> usize {
        self.foca.num_members()
    }

    /// Asks somebody of this name at this address for everybody it knows.
    pub fn announce(&mut self, now: Duration, id: PeerId, address: SocketAddr) {
        if self.has_left || id == *self.id() {
            return;
        }
        let to = Word::new(Member::named(id, address));
        self.tell_all(&to, true);
        let outcome = self.foca.announce(to, &mut self.runtime);
        self.settle(now, outcome.err());
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration) {
        while let Some(timer) = self.timers.take(now) {
            if self.has_left {
                continue;
            }
            let outcome = self.foca.handle_timer(timer, &mut self.runtime);
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
        if self.review_at <= now && !self.has_left {
            self.review_at = now + self.tuning.suspect_for;
            self.review(now);
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
            // As a later edition: it is told as being gone, and that says why.
            let me = Member::clone(&self.me());
            let (edition, said) = (me.edition.wrapping_add(1), me.said.wrapping_add(1));
            let last = Word::new(Member { edition, said, health: Health::Leaving, ..me });
            let changed = self.foca.change_identity(last, &mut self.runtime);
            self.settle(now, changed.err());
            let outcome = self.foca.leave_cluster(&mut self.runtime);
            self.settle(now, outcome.err());
            self.has_left = true;
        }
    }

    fn change(&mut self, now: Duration, health: Health, map_version: u64) {
        self.unsaid = None;
        let others = u32::try_from(self.present()).unwrap_or(u32::MAX);
        self.may_say_at = now + self.tuning.say_every + Tuning::SAY_PER_MEMBER.saturating_mul(others);
        let me = self.me();
        let item = Item { said: me.said.wrapping_add(1), health, map_version, ..Item::of(&me) };
        let told = self.foca.add_broadcast(&put_item(&item));
        self.settle(now, told.err());
    }

    /// Ends suspicions that nobody else ends: foca counts the time of those alone that it raised itself, and
    /// forgets them when this member comes back from the dead. The suspect is told first.
    fn review(&mut self, now: Duration) {
        let mut suspects = BTreeMap::new();
        let (mut told, mut dead) = (Vec::new(), Vec::new());
        let all = self.foca.iter_membership_state().filter(|update| update.state() == State::Suspect);
        for update in all.filter(|update| update.id().member.id != *self.id()) {
            let member = &update.id().member;
            let suspect = (member.id.clone(), member.generation, member.edition, update.incarnation());
            let looks = self.suspects.get(&suspect).map_or(0, |looks| looks + 1);
            match looks {
                0 => {}
                1 => told.push(update.clone()),
                _ => dead.push(foca::Member::new(update.id().clone(), update.incarnation(), State::Down)),
            }
            suspects.insert(suspect, looks);
        }
        self.suspects = suspects;
        let me = foca::Member::alive(self.foca.identity().clone());
        for update in told {
            let messages = states(&me, false, std::iter::once(&update), Self::MAX_MESSAGE);
            let to = &update.id().member;
            let outgoing =
                messages.into_iter().map(|message| Outgoing { to: Arc::clone(to), message: message.into() });
            self.outgoing.extend(outgoing);
        }
        let ended = self.foca.apply_many(dead.into_iter(), true, &mut self.runtime);
        self.settle(now, ended.err());
    }

    /// Tells somebody everything and asks for the same: what gossip lost is found so.
    fn compare(&mut self) {
        let there: HashSet<&PeerId> =
            self.foca.iter_membership_state().map(|update| &update.id().member.id).collect();
        self.news.keep(|id| there.contains(id) || id == self.id());
        let present: Vec<&Word> = self.foca.iter_members().map(foca::Member::id).collect();
        let Ok(count) = u64::try_from(present.len()) else { return };
        let Some(chosen) = self.dice.next_u64().checked_rem(count) else { return };
        let Some(to) = usize::try_from(chosen).ok().and_then(|at| present.get(at)) else { return };
        let to = Word::clone(to);
        self.tell_all(&to, true);
    }

    fn tell_all(&mut self, to: &Word, asks: bool) {
        let whole = |update: &foca::Member<Word>| {
            let member = self.news.overlay(&update.id().member);
            foca::Member::new(Word::new(Member::clone(&member)), update.incarnation(), update.state())
        };
        let me = whole(&foca::Member::alive(self.foca.identity().clone()));
        // Itself included: it has to hear where it is taken for gone.
        let others = self.foca.iter_membership_state();
        let others: Vec<_> = others.map(whole).collect();
        let messages = states(&me, asks, others.iter(), Self::MAX_MESSAGE);
        let outgoing = messages
            .into_iter()
            .map(|message| Outgoing { to: Arc::clone(&to.member), message: message.into() });
        self.outgoing.extend(outgoing);
    }

    fn take_state(&mut self, now: Duration, state: codec::State) -> Result<(), Refusal> {
        self.room_for(std::iter::once(&state.source).chain(&state.members))?;
        let source = state.source.id().clone();
        self.news.take(Item::of(&source.member));
        // That it is there is news; the rest was gossiped already.
        let there = self.foca.apply_many(std::iter::once(state.source), true, &mut self.runtime);
        let known = self.get(&source.member.id);
        // Who is taken for dead learns it from SWIM, and is not believed until then.
        if known.is_some_and(|known| known.standing.is_present()) {
            for update in &state.members {
                self.news.take(Item::of(&update.id().member));
            }
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
            self.timers.set(now + after, timer);
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

/// The fewest bytes of a member in a datagram.
const MIN_MEMBER: usize = 32;

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swim").field("me", &self.me()).finish_non_exhaustive()
    }
}
