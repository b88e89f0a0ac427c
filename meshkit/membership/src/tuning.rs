//! How quickly things are noticed, and how much is sent for that.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, PeriodicParams};

use crate::swim::Swim;

/// Members that one probe is handed to where its target does not answer.
const HELPERS: usize = 3;
/// How often each piece of news is told on by whoever hears it: 8 reach all of some hundred but for one in
/// a thousand; comparing finds that one.
const RETELLINGS: u8 = 8;

/// How quickly things are noticed, and how much is sent for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How often one member is probed.
    pub probe_every: Duration,
    /// How long its answer may take before others are asked to probe it; less than half of
    /// `probe_every`.
    pub answer_within: Duration,
    /// How long a suspect has to speak up before it counts as dead.
    pub suspect_for: Duration,
    /// How often what is new is told to some members beside the probes.
    pub gossip_every: Duration,
    /// How long those who left or died are remembered, and asked whether they are back.
    pub forget_after: Duration,
    /// How often everything that is known is compared with some member's.
    pub compare_every: Duration,
    /// How often a member says how far its view is, in a mesh of a few; with each member it is
    /// [`SAY_PER_MEMBER`](Self::SAY_PER_MEMBER) rarer, since everybody hears of everybody.
    pub say_every: Duration,
}

impl Tuning {
    /// What each member adds to the time between two words of one.
    pub const SAY_PER_MEMBER: Duration = Duration::from_millis(50);

    pub(crate) fn config(self) -> Config {
        let some = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        let every = |frequency, members| Some(PeriodicParams { frequency, num_members: some(members) });
        Config {
            probe_period: self.probe_every,
            probe_rtt: self.answer_within,
            num_indirect_probes: some(HELPERS),
            max_transmissions: NonZeroU8::new(RETELLINGS).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: self.suspect_for,
            remove_down_after: self.forget_after,
            max_packet_size: some(Swim::MAX_DATAGRAM),
            notify_down_members: true,
            // Comparing everything finds more.
            periodic_announce: None,
            // A partition that heals is found by those who ask the dead.
            periodic_announce_to_down_members: every(self.probe_every * 2, 2),
            periodic_gossip: every(self.gossip_every, HELPERS),
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_millis(500),
            answer_within: Duration::from_millis(150),
            suspect_for: Duration::from_millis(2_000),
            gossip_every: Duration::from_millis(100),
            forget_after: Duration::from_secs(3_600),
            compare_every: Duration::from_secs(10),
            say_every: Duration::from_secs(5),
        }
    }
}
