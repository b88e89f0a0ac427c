//! A host's process in a simulation: the SDK's decisions, a mailbox and a clock of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use meshkit_client::{Action, HostCore, Place, v1};
use meshkit_model::PeerId;
use meshkit_testkit::validator::Dice;

/// One step of the simulation.
pub const STEP: Duration = Duration::from_millis(50);

/// What goes from the control plane to one process of a host, by the step in which it arrives.
pub enum Mail {
    Record(Box<v1::Shard>),
    Answer { sent: Duration, lease: Duration, accepted: Vec<v1::OwnershipWord> },
}

/// One process of a host.
pub struct Process {
    /// Which one of its host's processes: answers to another one never reach it.
    pub number: u64,
    pub core: HostCore,
    /// Serves by its own belief; the fence.
    pub serving: BTreeMap<u32, u64>,
    /// What takes the process a while: warming and draining.
    pub busy: Vec<(u64, Place, bool)>,
    pub mail: VecDeque<(u64, Mail)>,
    /// Its clock runs so many thousandths of the true time.
    pub rate: u32,
    pub paused_until: u64,
    pub cut_until: u64,
    pub report_at: u64,
    pub told: BTreeMap<u32, u64>,
}

impl Process {
    pub fn new(id: &PeerId, number: u64, dice: &mut Dice) -> Self {
        Self {
            number,
            core: HostCore::new(id.as_str()),
            serving: BTreeMap::new(),
            busy: Vec::new(),
            mail: VecDeque::new(),
            rate: 950 + u32::try_from(dice.roll(100)).unwrap(),
            paused_until: 0,
            cut_until: 0,
            report_at: 0,
            told: BTreeMap::new(),
        }
    }

    pub fn clock(&self, step: u64) -> Duration {
        STEP * u32::try_from(step).unwrap() * self.rate / 1_000
    }
}

impl Process {
    pub fn receive(&mut self, step: u64, now: Duration) {
        while self.mail.front().is_some_and(|(at, _)| *at <= step) {
            match self.mail.pop_front().unwrap().1 {
                Mail::Record(shard) => self.core.observe(&shard, now),
                Mail::Answer { sent, lease, accepted } => {
                    self.core.renewed(sent, lease, now);
                    for word in accepted {
                        let place = Place { namespace: word.shard_namespace, shard: word.id };
                        self.core.accepted(&place, sent, now);
                    }
                }
            }
        }
    }

    /// Does what the core says, some of it later.
    pub fn work(&mut self, step: u64, took: u64, now: Duration) {
        let (done, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.busy).into_iter().partition(|(at, ..)| *at <= step);
        self.busy = later;
        for (_, place, warms) in done {
            if warms { self.core.warmed(&place, now) } else { self.core.drained(&place) }
        }
        for action in self.core.actions() {
            match action {
                Action::Warm(place) => self.busy.push((step + took, place, true)),
                Action::Serve(place, fence) => {
                    self.serving.insert(place.shard, fence);
                }
                Action::Drain(place, _) => {
                    self.serving.remove(&place.shard);
                    self.busy.push((step + took, place, false));
                }
                Action::Drop(place) => {
                    self.serving.remove(&place.shard);
                    self.busy.retain(|(_, busy, _)| *busy != place);
                }
            }
        }
    }
}
