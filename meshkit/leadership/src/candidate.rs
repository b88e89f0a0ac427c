//! Leading one scope or waiting to: all that is decided, without clock, store or randomness.
//!
//! The store takes a write only on top of the version that the writer saw, so of all who want a
//! lease one gets it. Nobody compares clocks: a holder counts from before it asked for its renewal,
//! the others from after they saw it, and each keeps a tenth away from the end of the lease. So at
//! no moment two of them take themselves for the leader, as long as no clock goes wrong by more than
//! a tenth. Where one does, or where a process sleeps between its decision and its write, the fence
//! in the store refuses what is late.

use std::collections::VecDeque;

use meshkit_model::{LeaderChange, LeaderScope, Lease, PeerId, Timestamp};

use crate::timing::{Mono, Timing};

/// A node that would lead a scope.
#[derive(Debug)]
pub struct Candidate {
    scope: LeaderScope,
    me: PeerId,
    session: String,
    timing: Timing,
    seen: Seen,
    lead: Option<Lead>,
    flight: Option<Flight>,
    attempts: u64,
    /// The store is left alone until then.
    pauses_until: Mono,
    /// Others may take the lease until then.
    sits_out_until: Mono,
    /// The fence that is to be given back to the store.
    gives_up: Option<u64>,
    is_leaving: bool,
    /// The fence whose end by time was told.
    told_expired: u64,
    events: VecDeque<Event>,
}

/// What is known of the record in the store.
#[derive(Debug)]
enum Seen {
    /// It was not looked at yet.
    Nothing,
    /// There is none.
    Absent,
    /// This one, first seen then.
    Lease { lease: Lease, at: Mono },
}

#[derive(Clone, Copy, Debug)]
struct Lead {
    fence: u64,
    until: Mono,
    renew_at: Mono,
}

#[derive(Clone, Debug)]
struct Flight {
    number: u64,
    asks: Asks,
    lease: Lease,
    sent_at: Mono,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// To lead.
    Election,
    /// To lead on.
    Renewal,
    /// To lead no more.
    Release,
}

/// Something to be asked of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Names it in [`Candidate::answered`].
    pub number: u64,
    /// What it is for.
    pub asks: Asks,
    /// The record as it is to be.
    pub lease: Lease,
    /// The version that it must have before; 0 where there must be none.
    pub version: u64,
    /// The fence that it must have before; 0 where there is none.
    pub acting: u64,
}

/// What the store said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is written, and the record has this version now.
    Written(u64),
    /// It is not written, since the record is another one by now.
    Refused,
    /// It may be written or not, or the store could not be asked.
    Unknown,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This is to be asked of the store.
    Ask(Box<Attempt>),
    /// Nothing before then, as long as nothing is seen or answered; nothing at all where it is none.
    Wait(Option<Mono>),
}

/// What became of the leadership, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub change: LeaderChange,
    /// Who led or leads.
    pub holder: PeerId,
    /// Under which fence.
    pub fence: u64,
}

impl Candidate {
    /// A candidate that has seen nothing yet. `session` tells this process from others of its name.
    #[must_use]
    pub fn new(scope: LeaderScope, me: PeerId, session: String, timing: Timing) -> Self {
        Self {
            scope,
            me,
            session,
            timing,
            seen: Seen::Nothing,
            lead: None,
            flight: None,
            attempts: 0,
            pauses_until: Mono::ZERO,
            sits_out_until: Mono::ZERO,
            gives_up: None,
            is_leaving: false,
            told_expired: 0,
            events: VecDeque::new(),
        }
    }

    /// The fence under which this node leads now; none where it does not.
    #[must_use]
    pub fn leads(&self, now: Mono) -> Option<u64> {
        self.lead.filter(|lead| now < lead.until).map(|lead| lead.fence)
    }

    /// The record as it was seen last.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.seen {
            Seen::Lease { lease, .. } => Some(lease),
            Seen::Nothing | Seen::Absent => None,
        }
    }

    /// Whether somebody holds the lease in writing whose time has passed, as far as this node saw.
    #[must_use]
    pub fn is_expired(&self, now: Mono) -> bool {
        let Some(lease) = self.lease().filter(|lease| lease.holder.is_some()) else { return false };
        // It may be this node's own, seen before the store's answer to it.
        let is_coming = self.flight.as_ref().is_some_and(|flight| flight.lease.fence == lease.fence);
        !is_coming && self.leads(now).is_none() && self.free_at().is_some_and(|at| now >= at)
    }

    /// Whether nothing is left to be given back to the store.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.lead.is_none() && self.flight.is_none() && self.gives_up.is_none()
    }

    /// What happened since it was asked last.
    pub fn take_events(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.events.drain(..)
    }

    /// Tells what the record in the store is, however late or often.
    pub fn observe(&mut self, now: Mono, found: Option<&Lease>) {
        let Some(found) = found else {
            if matches!(self.seen, Seen::Nothing) {
                self.seen = Seen::Absent;
            }
            return;
        };
        if self.lease().is_some_and(|known| known.record_version >= found.record_version) {
            return;
        }
        self.notice_end(now);
        if let Some(lead) = self.lead.filter(|lead| lead.fence != found.fence) {
            self.lead = None;
            self.tell(LeaderChange::Lost, self.me.clone(), lead.fence);
        }
        if self.gives_up.is_some_and(|fence| fence != found.fence) {
            self.gives_up = None;
        }
        self.seen = Seen::Lease { lease: found.clone(), at: now };
        if found.resigning {
            self.resign(now);
        }
    }

    /// What to do next. `at` is the time that people read in records.
    pub fn tick(&mut self, now: Mono, at: Timestamp) -> Step {
        self.notice_end(now);
        if self.flight.is_some() || matches!(self.seen, Seen::Nothing) {
            return Step::Wait(self.ends_at());
        }
        let (due, asks) = match (self.lead, self.gives_up) {
            (Some(lead), _) => (lead.renew_at, Asks::Renewal),
            (None, Some(_)) => (Mono::ZERO, Asks::Release),
            (None, None) if self.is_leaving => return Step::Wait(self.ends_at()),
            (None, None) => (self.free_at().unwrap_or(Mono::ZERO), Asks::Election),
        };
        let due = due.max(self.pauses_until);
        if now < due {
            return Step::Wait(Some(self.ends_at().map_or(due, |end| end.min(due))));
        }
        Step::Ask(Box::new(self.attempt(asks, now, at)))
    }

    /// Tells what the store said to an attempt.
    pub fn answered(&mut self, now: Mono, number: u64, outcome: Outcome) {
        let Some(flight) = self.flight.take_if(|flight| flight.number == number) else { return };
        let Outcome::Written(version) = outcome else {
            // The record is seen soon; until then the same attempt would go the same way.
            self.pauses_until = now + self.timing.retry_after();
            return;
        };
        // A renewal that is not written leaves the version as it was.
        if self.lease().is_none_or(|known| known.record_version < version) {
            let lease = Lease { record_version: version, ..flight.lease.clone() };
            self.seen = Seen::Lease { lease, at: now };
        }
        let is_current = self.lease().is_some_and(|known| known.fence == flight.lease.fence);
        let until = flight.sent_at + Timing::own(self.timing.lease);
        let lead =
            Lead { fence: flight.lease.fence, until, renew_at: flight.sent_at + self.timing.renew_after() };
        match flight.asks {
            Asks::Release => {
                self.gives_up = None;
            }
            // It came too late, or was taken away meanwhile.
            _ if now >= until || !is_current => {}
            Asks::Election if self.is_leaving => self.gives_up = Some(lead.fence),
            Asks::Election => {
                self.lead = Some(lead);
                self.tell(LeaderChange::Elected, self.me.clone(), lead.fence);
            }
            Asks::Renewal => {
                if self.lead.is_some_and(|led| led.fence == lead.fence) {
                    self.lead = Some(lead);
                    self.tell(LeaderChange::Renewed, self.me.clone(), lead.fence);
                }
            }
        }
    }

    /// Gives the lease up, and leaves it to others for a while.
    pub fn resign(&mut self, now: Mono) {
        if let Some(lead) = self.lead.take() {
            self.gives_up = Some(lead.fence);
            self.sits_out_until = now + self.timing.sits_out();
            self.tell(LeaderChange::SteppedDown, self.me.clone(), lead.fence);
        }
    }

    /// Gives the lease up for good.
    pub fn leave(&mut self, now: Mono) {
        self.is_leaving = true;
        self.resign(now);
    }

    /// When the lease in writing is free for this node; none where there is no record.
    fn free_at(&self) -> Option<Mono> {
        let Seen::Lease { lease, at } = &self.seen else { return None };
        let Some(holder) = &lease.holder else { return Some(self.sits_out_until) };
        let is_own = *holder == self.me && lease.session == self.session;
        if is_own || self.timing.is_alone {
            return Some(self.sits_out_until);
        }
        let lasts = Mono::from_millis(lease.lease_ms.into());
        Some((*at + Timing::others(lasts)).max(self.sits_out_until))
    }

    /// When this node leads no more by time alone, or will take another one's lease for ended.
    fn ends_at(&self) -> Option<Mono> {
        self.lead.map(|lead| lead.until)
    }

    /// Notices leases whose time has passed.
    fn notice_end(&mut self, now: Mono) {
        if let Some(lead) = self.lead.filter(|lead| now >= lead.until) {
            self.lead = None;
            self.told_expired = lead.fence;
            self.tell(LeaderChange::Expired, self.me.clone(), lead.fence);
        }
        if !self.is_expired(now) {
            return;
        }
        let held = self.lease().and_then(|lease| Some((lease.holder.clone()?, lease.fence)));
        if let Some((holder, fence)) = held.filter(|(_, fence)| *fence > self.told_expired) {
            self.told_expired = fence;
            self.tell(LeaderChange::Expired, holder, fence);
        }
    }

    fn attempt(&mut self, asks: Asks, now: Mono, at: Timestamp) -> Attempt {
        let known = self.lease();
        let (version, acting) = known.map_or((0, 0), |known| (known.record_version, known.fence));
        let lease = match (asks, known) {
            (Asks::Renewal, Some(known)) => {
                Lease { change: LeaderChange::Renewed, changed_at: at, ..known.clone() }
            }
            (Asks::Release, Some(known)) => known.ended(LeaderChange::SteppedDown, at),
            (_, known) => self.elected(known, at),
        };
        self.attempts += 1;
        let number = self.attempts;
        self.flight = Some(Flight { number, asks, lease: lease.clone(), sent_at: now });
        Attempt { number, asks, lease, version, acting }
    }

    fn elected(&self, known: Option<&Lease>, at: Timestamp) -> Lease {
        let previous =
            known.and_then(|known| known.term(LeaderChange::Expired).or_else(|| known.previous.clone()));
        Lease {
            scope: self.scope.clone(),
            holder: Some(self.me.clone()),
            session: self.session.clone(),
            fence: known.map_or(0, |known| known.fence) + 1,
            lease_ms: u32::try_from(self.timing.lease.as_millis()).unwrap_or(u32::MAX),
            resigning: false,
            change: LeaderChange::Elected,
            previous,
            since: at,
            changed_at: at,
            record_version: 0,
        }
    }

    fn tell(&mut self, change: LeaderChange, holder: PeerId, fence: u64) {
        self.events.push_back(Event { change, holder, fence });
    }
}
