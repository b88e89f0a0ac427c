//! What goes wrong, and the store's side of things: its rule and the records that it looks at.

use std::time::Duration;

use meshkit_leadership::{Attempt, Candidate, Timing};
use meshkit_model::{LeaderScope, Lease, PeerId, Record as _};
use meshkit_store::{Expect, Standing, Write};

pub const LEASE: Duration = Duration::from_millis(2_000);

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Of a hundred messages, so many never arrive.
    pub loss_percent: u64,
    /// Of a hundred requests, so many reach the store twice.
    pub twice_percent: u64,
    /// Whether nodes are cut off, stopped and killed.
    pub strikes: bool,
    /// How much a clock may be too fast or too slow.
    pub drift_percent: u64,
}

impl Faults {
    pub const fn all() -> Self {
        Self { loss_percent: 10, twice_percent: 5, strikes: true, drift_percent: 9 }
    }

    pub const fn none() -> Self {
        Self { loss_percent: 0, twice_percent: 0, strikes: false, drift_percent: 0 }
    }
}

pub fn candidate(place: usize, life: u64) -> Candidate {
    let me = PeerId::new(format!("node-{place}")).unwrap();
    let timing = Timing { lease: LEASE, is_alone: false };
    Candidate::new(LeaderScope::global(), me, format!("life-{life}"), timing)
}

pub fn write_of(attempt: &Attempt) -> Write {
    let expect = if attempt.version == 0 { Expect::Absent } else { Expect::Version(attempt.version) };
    Write::put_fenced(&attempt.lease, expect, attempt.acting).unwrap()
}

/// What the store knows of the record.
pub struct Stands {
    version: u64,
    fence: u64,
    owner: String,
}

impl Stands {
    pub fn as_store(&self) -> Standing<'_> {
        Standing { version: self.version, fence: Some((self.fence, &self.owner)) }
    }
}

pub fn standing(lease: &Lease) -> Stands {
    let fence = lease.fence().unwrap();
    Stands { version: lease.record_version, fence: fence.number, owner: fence.owner }
}
