//! The peers of an outbound, and which of them get calls.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use omnirelay_runtime::Result;
use relay_balance::{Balancer, Ejection, Moment, OutlierRules, Outliers, Seen, Tuning};
use relay_core::introspect::PeerState;

use crate::outbound::peer::Peer;
use crate::outbound::source::{PeerSpec, Snapshot};

/// The peers of an outbound, and which of them get calls. A pick reads it without a lock; whoever
/// changes it makes it anew.
pub(super) struct Fleet {
    current: ArcSwap<Peers>,
    outliers: Mutex<Outliers>,
    zone: String,
    /// Told whenever a peer is ejected: it is to come back.
    pub(super) ejected: Arc<tokio::sync::Notify>,
}

/// The peers at one time.
pub(super) struct Peers {
    pub(super) all: Box<[Arc<Peer>]>,
    pub(super) balancer: Balancer,
}

impl Fleet {
    pub(super) fn new(tuning: Tuning, rules: OutlierRules, zone: &str) -> Self {
        let peers = Peers { all: Box::default(), balancer: Balancer::new(tuning, Vec::new()) };
        Self {
            current: ArcSwap::from_pointee(peers),
            outliers: Mutex::new(Outliers::new(rules)),
            zone: zone.to_owned(),
            ejected: Arc::default(),
        }
    }

    /// A fleet with the peers of another one, their ejections, and rules of its own.
    pub(super) fn after(before: &Self, tuning: Tuning, rules: OutlierRules) -> Self {
        let outliers = before.lock().with_rules(rules);
        let all = before.peers().all.clone();
        let members = all.iter().map(|peer| peer.member(&before.zone)).collect();
        let fleet = Self::new(tuning, rules, &before.zone);
        let balancer = fleet.peers().balancer.with_members(members);
        fleet.publish(&Peers { all, balancer }, &outliers);
        *fleet.lock() = outliers;
        fleet
    }

    /// Nobody probes these peers any more: what the last probe said is forgotten.
    pub(super) fn forget_probes(&self, now: Moment) {
        let unhealthy =
            self.peers().all.iter().filter(|peer| !peer.healthy.load(Relaxed)).cloned().collect::<Vec<_>>();
        unhealthy.iter().for_each(|peer| self.probed(peer, true, now));
    }

    pub(super) fn peers(&self) -> arc_swap::Guard<Arc<Peers>> {
        self.current.load()
    }

    /// These are the peers from now on. Those that stay keep what is known of them; gives the new ones.
    ///
    /// # Errors
    /// A peer that `make` cannot make; the others are changed all the same.
    pub(super) fn set(
        &self,
        snapshot: &Snapshot,
        make: impl Fn(PeerSpec) -> Result<Peer>,
    ) -> Result<Vec<Arc<Peer>>> {
        let mut outliers = self.lock();
        let before = self.current.load_full();
        let (mut all, mut new, mut failed) = (Vec::new(), Vec::new(), None);
        for spec in snapshot.iter() {
            if let Some(kept) = before.all.iter().find(|peer| peer.spec == *spec) {
                all.push(Arc::clone(kept));
                continue;
            }
            match make(spec.clone()).map(Arc::new) {
                Ok(peer) => {
                    new.push(Arc::clone(&peer));
                    all.push(peer);
                }
                Err(error) => failed = Some(error),
            }
        }
        outliers.set_peers(&all.iter().map(|peer| peer.id).collect::<Vec<_>>());
        let members = all.iter().map(|peer| peer.member(&self.zone)).collect();
        let balancer = before.balancer.with_members(members);
        self.publish(&Peers { all: all.into(), balancer }, &outliers);
        failed.map_or(Ok(new), Err)
    }

    /// Takes note of a peer that has failed so many calls in a row.
    pub(super) fn failed(&self, peer: &Peer, in_a_row: u32, now: Moment) -> Option<Ejection> {
        let mut outliers = self.lock();
        let ejection = outliers.failed(peer.id, in_a_row, now)?;
        self.publish(&self.current.load(), &outliers);
        self.ejected.notify_one();
        Some(ejection)
    }

    /// Ejects whoever failed more of its calls than the others since the last time.
    pub(super) fn judge(&self, now: Moment) -> Vec<Ejection> {
        let mut outliers = self.lock();
        let peers = self.current.load();
        let seen = peers.all.iter().map(|peer| {
            let (succeeded, failed) = peer.load.take_outcomes();
            Seen { id: peer.id, succeeded, failed }
        });
        let ejections = outliers.judge(&seen.collect::<Vec<_>>(), now);
        if !ejections.is_empty() {
            self.publish(&peers, &outliers);
        }
        ejections
    }

    /// Lets those come back whose time is over; when the next one's is.
    pub(super) fn let_back(&self, now: Moment) -> Option<Moment> {
        let mut outliers = self.lock();
        let peers = self.current.load();
        let back = outliers.returned(now);
        if !back.is_empty() {
            for peer in peers.all.iter().filter(|peer| back.contains(&peer.id)) {
                peer.load.begins(now);
                tracing::info!(peer = peer.url(), "the peer gets calls again");
            }
            self.publish(&peers, &outliers);
        }
        peers.all.iter().filter_map(|peer| outliers.until(peer.id)).min()
    }

    /// A probe has changed its mind of a peer.
    pub(super) fn probed(&self, peer: &Peer, healthy: bool, now: Moment) {
        let outliers = self.lock();
        peer.healthy.store(healthy, Relaxed);
        if healthy {
            peer.load.begins(now);
        }
        self.publish(&self.current.load(), &outliers);
    }

    /// Each peer with its state and how often it was ejected.
    pub(super) fn states(&self) -> Vec<(Arc<Peer>, PeerState, u64)> {
        let outliers = self.lock();
        let peers = self.current.load();
        let states = peers
            .all
            .iter()
            .map(|peer| (Arc::clone(peer), state(peer, &outliers), outliers.ejections(peer.id)));
        states.collect()
    }

    fn publish(&self, peers: &Peers, outliers: &Outliers) {
        let is_up =
            |index: usize| peers.all.get(index).is_some_and(|peer| state(peer, outliers) == PeerState::Up);
        let balancer = peers.balancer.with_states(is_up);
        self.current.store(Arc::new(Peers { all: peers.all.clone(), balancer }));
    }

    fn lock(&self) -> MutexGuard<'_, Outliers> {
        self.outliers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state(peer: &Peer, outliers: &Outliers) -> PeerState {
    match (peer.healthy.load(Relaxed), outliers.is_ejected(peer.id)) {
        (false, _) => PeerState::Unhealthy,
        (true, true) => PeerState::Ejected,
        (true, false) => PeerState::Up,
    }
}
