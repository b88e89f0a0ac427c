//! Peers in memory, found by what listings filter by.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use meshkit_model::{Peer, PeerId, PeerStatus, Timestamp};

use super::Page;
use super::tables::{Rows, page};

/// Which peers to list; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerQuery {
    /// Exactly this role.
    pub role: Option<String>,
    /// Exactly this service.
    pub service: Option<String>,
    /// Exactly this cluster.
    pub cluster: Option<String>,
    /// Exactly this status.
    pub status: Option<PeerStatus>,
    /// Only ids after this one, in byte order.
    pub after: Option<String>,
    /// The most peers of the page.
    pub limit: u32,
}

impl PeerQuery {
    /// Whether a peer is one that the query asks for, its place and the limit aside.
    #[must_use]
    pub fn matches(&self, peer: &Peer) -> bool {
        let equal = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        equal(&self.role, &peer.spec.role)
            && equal(&self.service, &peer.spec.service)
            && equal(&self.cluster, &peer.spec.cluster)
            && self.status.is_none_or(|status| status == peer.status)
    }
}

/// An index: the ids of the peers that have a value.
type Index<T> = BTreeMap<T, BTreeSet<Arc<str>>>;

/// All peers.
#[derive(Debug, Default)]
pub struct Peers {
    by_id: BTreeMap<Arc<str>, Peer>,
    by_role: Index<String>,
    by_service: Index<String>,
    by_cluster: Index<String>,
    by_status: Index<PeerStatus>,
}

impl Rows<Peer> for Peers {
    fn get(&self, key: &str) -> Option<&Peer> {
        self.by_id.get(key)
    }

    fn put(&mut self, mut peer: Peer) {
        let id: Arc<str> = peer.spec.id.as_str().into();
        if let Some(known) = self.unindexed(&id) {
            // Heartbeats are newer than the record that was written meanwhile.
            peer.last_seen_at = peer.last_seen_at.max(known.last_seen_at);
        }
        enter(&mut self.by_role, peer.spec.role.clone(), &id);
        enter(&mut self.by_service, peer.spec.service.clone(), &id);
        enter(&mut self.by_cluster, peer.spec.cluster.clone(), &id);
        enter(&mut self.by_status, peer.status, &id);
        self.by_id.insert(id, peer);
    }

    fn remove(&mut self, key: &str) {
        self.unindexed(key);
    }

    fn count(&self) -> usize {
        self.by_id.len()
    }
}

impl Peers {
    /// All peers in id order.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_id.values()
    }

    /// How many peers have a status.
    #[must_use]
    pub fn count_by_status(&self, status: PeerStatus) -> usize {
        self.by_status.get(&status).map_or(0, BTreeSet::len)
    }

    /// The peers that a query asks for, in id order.
    #[must_use]
    pub fn page(&self, query: &PeerQuery, revision: u64) -> Page<Peer> {
        let from = query.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        match self.narrowest(query) {
            // Nobody has what is asked for.
            Some(None) => page(std::iter::empty(), query.limit, revision),
            Some(Some(ids)) => {
                let peers = ids.range::<str, _>(range).filter_map(|id| self.by_id.get(id));
                page(peers.filter(|peer| query.matches(peer)), query.limit, revision)
            }
            None => page(self.by_id.range::<str, _>(range).map(|(_, peer)| peer), query.limit, revision),
        }
    }

    /// The smallest set of ids that holds all that a query can match; none where it has no filter.
    fn narrowest(&self, query: &PeerQuery) -> Option<Option<&BTreeSet<Arc<str>>>> {
        let texts = [
            query.role.as_ref().map(|role| self.by_role.get(role)),
            query.service.as_ref().map(|service| self.by_service.get(service)),
            query.cluster.as_ref().map(|cluster| self.by_cluster.get(cluster)),
            query.status.map(|status| self.by_status.get(&status)),
        ];
        texts.into_iter().flatten().min_by_key(|ids| ids.map_or(0, BTreeSet::len))
    }

    pub(super) fn touch(&mut self, id: &PeerId, at: Timestamp) {
        if let Some(peer) = self.by_id.get_mut(id.as_str()) {
            peer.last_seen_at = peer.last_seen_at.max(at);
        }
    }

    /// Takes a peer out, of the indexes too.
    fn unindexed(&mut self, id: &str) -> Option<Peer> {
        let peer = self.by_id.remove(id)?;
        leave(&mut self.by_role, &peer.spec.role, id);
        leave(&mut self.by_service, &peer.spec.service, id);
        leave(&mut self.by_cluster, &peer.spec.cluster, id);
        leave(&mut self.by_status, &peer.status, id);
        Some(peer)
    }
}

fn enter<T: Ord>(index: &mut Index<T>, value: T, id: &Arc<str>) {
    index.entry(value).or_default().insert(Arc::clone(id));
}

fn leave<T: Ord + Clone>(index: &mut Index<T>, value: &T, id: &str) {
    if let Some(ids) = index.get_mut(value) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(value);
        }
    }
}
