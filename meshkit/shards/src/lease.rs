//! Which owners may be serving: by when they renewed their leases, on this process's monotonic clock.

use std::collections::HashMap;
use std::time::Duration;

use meshkit_model::lifecycle::{LEASE, MARGIN};
use meshkit_model::{PeerId, Timestamp};

/// Leases as one control plane knows them. Times are durations since it started.
///
/// What others took is learnt by looking, so it is dated later than it was, and what was taken before the start
/// counts from the start: both make a lease seem longer than it is, never shorter.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    renewed: HashMap<PeerId, Duration>,
    /// What records said of peers that spoke to other control planes, when it was looked last.
    seen: HashMap<PeerId, Timestamp>,
}

impl Leases {
    /// A renewal that this process takes.
    pub(crate) fn renew(&mut self, peer: &PeerId, now: Duration) {
        let renewed = self.renewed.entry(peer.clone()).or_default();
        *renewed = now.max(*renewed);
    }

    /// What the records say now of a peer: another time than before is a renewal that another process took.
    pub(crate) fn look(&mut self, peer: &PeerId, last_seen_at: Timestamp, now: Duration) {
        if self.seen.insert(peer.clone(), last_seen_at).is_some_and(|before| before != last_seen_at) {
            self.renew(peer, now);
        }
    }

    /// Forgets peers that nobody knows any more.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&PeerId) -> bool) {
        self.renewed.retain(|peer, _| is_known(peer));
        self.seen.retain(|peer, _| is_known(peer));
    }

    /// Whether its lease runs for all that is known here.
    pub(crate) fn runs(&self, peer: &PeerId, now: Duration) -> bool {
        self.renewed.get(peer).is_some_and(|renewed| now < *renewed + LEASE + MARGIN)
    }

    /// Whether somebody may hold a lease that was taken before this process began.
    pub(crate) fn is_early(now: Duration) -> bool {
        now < LEASE + MARGIN
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_lease_runs_for_its_time_and_the_margin() {
        let (mut leases, peer) = (Leases::default(), PeerId::new("a").unwrap());
        assert!(!leases.runs(&peer, Duration::ZERO));
        leases.renew(&peer, 1_000 * MS);
        assert!(leases.runs(&peer, 3_249 * MS) && !leases.runs(&peer, 3_250 * MS));
        // A word that was overtaken takes nothing away.
        leases.renew(&peer, 500 * MS);
        assert!(leases.runs(&peer, 3_249 * MS));
        assert!(Leases::is_early(2_249 * MS) && !Leases::is_early(2_250 * MS));
    }

    #[test]
    fn what_another_process_took_counts_from_when_it_was_seen() {
        let (mut leases, peer) = (Leases::default(), PeerId::new("a").unwrap());
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        leases.look(&peer, at(5), 100 * MS);
        assert!(!leases.runs(&peer, 100 * MS), "what was there before is no news");
        // Clocks of other machines may be set back: any change is news.
        leases.look(&peer, at(4), 900 * MS);
        assert!(leases.runs(&peer, 3_149 * MS) && !leases.runs(&peer, 3_150 * MS));
        leases.look(&peer, at(4), 3_000 * MS);
        assert!(!leases.runs(&peer, 3_150 * MS), "the same is no news");
        leases.retain(|_| false);
        assert!(!leases.runs(&peer, 900 * MS));
    }
}
