//! What a process does about the shards that it owns or is to own: decisions without clock or network.
//!
//! The process serves a shard where the record says so, under the fence that it made itself ready for, and while its
//! lease runs. A lease that ran out takes everything with it, also what was only being made ready: what was said
//! before counts for nothing then, and the owner by the record says that it begins anew.

use std::collections::BTreeMap;
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use v1::{OwnershipPhase, OwnershipWordKind};

/// A shard by its namespace and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The namespace.
    pub namespace: String,
    /// 0 to the namespace's shards less one.
    pub shard: u32,
}

/// What the process is to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make itself ready, and say so by [`HostCore::warmed`].
    Warm(Place),
    /// Serve under this fence.
    Serve(Place, u64),
    /// Finish what it has and take nothing new, and say so by [`HostCore::drained`].
    Drain(Place, u64),
    /// Drop what it has: somebody else owns it, or it was never to be served.
    Drop(Place),
}

/// How far the process itself is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    Warming,
    Warm,
    Serving(u64),
    Draining(u64),
    Drained(u64),
}

/// What the record says of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Nobody,
    Successor { ready: bool },
    Owner(OwnershipPhase),
}

#[derive(Clone, Debug)]
struct Entry {
    role: Role,
    stage: Stage,
    fence: u64,
    version: u64,
    /// Whether the store took its word, in this lease, that it is ready.
    vouched: bool,
    /// Who else is to be asked.
    elsewhere: String,
}

/// The decisions of one process. Times are durations on one monotonic clock.
#[derive(Clone, Debug)]
pub struct HostCore {
    own_id: String,
    entries: BTreeMap<Place, Entry>,
    lease_until: Option<Duration>,
    /// Since when it has been renewed without a gap.
    lease_since: Duration,
    actions: Vec<Action>,
}

impl HostCore {
    /// A process that owns nothing yet.
    #[must_use]
    pub fn new(own_id: impl Into<String>) -> Self {
        Self {
            own_id: own_id.into(),
            entries: BTreeMap::new(),
            lease_until: None,
            lease_since: Duration::ZERO,
            actions: Vec::new(),
        }
    }

    /// What is to be done since the last time, in order.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Takes a shard's record. Older ones than known change nothing.
    pub fn observe(&mut self, shard: &v1::Shard, now: Duration) {
        self.expire(now);
        let place = Place { namespace: shard.shard_namespace.clone(), shard: shard.id };
        let role = match (shard.owner == self.own_id, shard.successor == self.own_id) {
            (true, _) => Role::Owner(shard.phase()),
            (false, true) => Role::Successor { ready: shard.successor_ready },
            (false, false) => Role::Nobody,
        };
        let (stage, vouched) = match self.entries.get(&place) {
            Some(known) if known.version >= shard.record_version => return,
            Some(known) => (known.stage, known.vouched),
            None if role == Role::Nobody => return,
            None => (Stage::Nothing, false),
        };
        let other = if shard.owner == self.own_id { &shard.successor } else { &shard.owner };
        let (fence, version, elsewhere) = (shard.fence, shard.record_version, other.clone());
        let entry = Entry { role, stage, fence, version, vouched, elsewhere };
        self.entries.insert(place.clone(), entry);
        self.decide(&place, now);
    }

    /// A shard's record is gone.
    pub fn forget(&mut self, place: &Place) {
        if self.entries.remove(place).is_some_and(|entry| entry.stage != Stage::Nothing) {
            self.actions.push(Action::Drop(place.clone()));
        }
    }

    /// The places that are known, for comparing them with a snapshot.
    #[must_use]
    pub fn known(&self) -> Vec<Place> {
        self.entries.keys().cloned().collect()
    }

    /// The process is ready for a shard.
    pub fn warmed(&mut self, place: &Place, now: Duration) {
        self.expire(now);
        if let Some(entry) = self.entries.get_mut(place).filter(|entry| entry.stage == Stage::Warming) {
            (entry.stage, entry.vouched) = (Stage::Warm, false);
            self.decide(place, now);
        }
    }

    /// The store took the word about a place that was sent at `sent`. For one that is ready that is the proof that
    /// nobody else was given the shard before its lease began.
    pub fn accepted(&mut self, place: &Place, sent: Duration, now: Duration) {
        self.expire(now);
        let counts = self.lease_until.is_some() && sent >= self.lease_since;
        if let Some(entry) = self.entries.get_mut(place).filter(|entry| counts && entry.stage == Stage::Warm)
        {
            entry.vouched = true;
            self.decide(place, now);
        }
    }

    /// The process serves nothing of a shard any more.
    pub fn drained(&mut self, place: &Place) {
        if let Some(entry) = self.entries.get_mut(place)
            && let Stage::Draining(fence) = entry.stage
        {
            entry.stage = Stage::Drained(fence);
        }
    }

    /// A report that was sent at `sent` was answered with a lease.
    pub fn renewed(&mut self, sent: Duration, lease: Duration, now: Duration) {
        self.expire(now);
        let until = sent + lease;
        let is_anew = self.lease_until.is_none();
        if until <= now {
            return;
        }
        self.lease_until = Some(self.lease_until.map_or(until, |known| known.max(until)));
        if is_anew {
            self.lease_since = now;
        }
        if is_anew {
            for place in self.known() {
                self.decide(&place, now);
            }
        }
    }

    /// Ends everything where the lease has run out.
    pub fn expire(&mut self, now: Duration) {
        if self.lease_until.is_none_or(|until| now < until) {
            return;
        }
        self.lease_until = None;
        for (place, entry) in &mut self.entries {
            if entry.stage != Stage::Nothing {
                entry.stage = Stage::Nothing;
                self.actions.push(Action::Drop(place.clone()));
            }
        }
    }

    /// When the lease runs out; none where there is none.
    #[must_use]
    pub fn lease_until(&self) -> Option<Duration> {
        self.lease_until
    }

    /// The fence under which a shard is served now; none where it is not.
    #[must_use]
    pub fn serves(&self, place: &Place, now: Duration) -> Option<u64> {
        self.lease_until.filter(|until| now < *until)?;
        match self.entries.get(place)?.stage {
            Stage::Serving(fence) => Some(fence),
            _ => None,
        }
    }

    /// Whether the process is about to serve a shard, so that calls may wait for it.
    #[must_use]
    pub fn is_coming(&self, place: &Place) -> bool {
        let entry = self.entries.get(place);
        entry.is_some_and(|entry| {
            let owns = matches!(entry.role, Role::Owner(phase) if phase != OwnershipPhase::Draining);
            let is_next = matches!(entry.role, Role::Successor { ready: true });
            (owns && !matches!(entry.stage, Stage::Serving(_))) || (is_next && entry.stage == Stage::Warm)
        })
    }

    /// Who else may know of a shard: its owner, or who takes over from this process; empty where nobody is known.
    #[must_use]
    pub fn elsewhere(&self, place: &Place) -> &str {
        self.entries.get(place).map_or("", |entry| &entry.elsewhere)
    }

    /// Whether anything is owned by the record, or still served.
    #[must_use]
    pub fn owns_anything(&self) -> bool {
        let owns = |entry: &Entry| {
            matches!(entry.role, Role::Owner(_))
                || matches!(entry.stage, Stage::Serving(_) | Stage::Draining(_))
        };
        self.entries.values().any(owns)
    }

    /// What the process has to say of its shards. It is said again and again until the records show it.
    #[must_use]
    pub fn words(&self) -> Vec<v1::OwnershipWord> {
        let word = |(place, entry): (&Place, &Entry)| {
            Some(v1::OwnershipWord {
                shard_namespace: place.namespace.clone(),
                id: place.shard,
                record_version: entry.version,
                fence: entry.fence,
                kind: word(entry)?.into(),
            })
        };
        // Without a lease nothing that it says would hold.
        let entries = self.entries.iter().filter(|_| self.lease_until.is_some());
        entries.filter_map(word).collect()
    }

    fn decide(&mut self, place: &Place, now: Duration) {
        let holds = self.lease_until.is_some_and(|until| now < until);
        let Some(entry) = self.entries.get_mut(place) else { return };
        let mut act = |action: Action| self.actions.push(action);
        let drops = match (entry.role, entry.stage) {
            (_, Stage::Nothing) => false,
            (Role::Nobody, _) => true,
            (Role::Successor { .. }, stage) => !matches!(stage, Stage::Warming | Stage::Warm),
            (Role::Owner(_), Stage::Serving(fence) | Stage::Draining(fence) | Stage::Drained(fence)) => {
                fence != entry.fence
            }
            (Role::Owner(_), Stage::Warming | Stage::Warm) => false,
        };
        if drops {
            entry.stage = Stage::Nothing;
            act(Action::Drop(place.clone()));
        }
        if entry.role == Role::Nobody {
            self.entries.remove(place);
            return;
        }
        if !holds {
            return;
        }
        match (entry.role, entry.stage) {
            (Role::Successor { .. }, Stage::Nothing)
            | (Role::Owner(OwnershipPhase::Assigned | OwnershipPhase::Warming), Stage::Nothing) => {
                entry.stage = Stage::Warming;
                act(Action::Warm(place.clone()));
            }
            (Role::Owner(OwnershipPhase::Active), Stage::Warm) if entry.vouched => {
                entry.stage = Stage::Serving(entry.fence);
                act(Action::Serve(place.clone(), entry.fence));
            }
            (Role::Owner(OwnershipPhase::Draining), Stage::Serving(fence)) => {
                entry.stage = Stage::Draining(fence);
                act(Action::Drain(place.clone(), fence));
            }
            _ => {}
        }
    }
}

/// What there is to say of one shard.
fn word(entry: &Entry) -> Option<OwnershipWordKind> {
    match (entry.role, entry.stage) {
        (Role::Successor { ready: false }, Stage::Warm)
        | (Role::Owner(OwnershipPhase::Assigned | OwnershipPhase::Warming), Stage::Warm) => {
            Some(OwnershipWordKind::Ready)
        }
        // It was said, and whether it was taken is not known.
        (Role::Successor { ready: true } | Role::Owner(OwnershipPhase::Active), Stage::Warm)
            if !entry.vouched =>
        {
            Some(OwnershipWordKind::Ready)
        }
        (Role::Owner(OwnershipPhase::Assigned), Stage::Warming) => Some(OwnershipWordKind::Warming),
        (Role::Owner(OwnershipPhase::Draining), Stage::Drained(_)) => Some(OwnershipWordKind::Released),
        (Role::Owner(OwnershipPhase::Active | OwnershipPhase::Draining), Stage::Nothing | Stage::Warming)
        | (Role::Owner(OwnershipPhase::Draining), Stage::Warm) => Some(OwnershipWordKind::Restarted),
        _ => None,
    }
}
