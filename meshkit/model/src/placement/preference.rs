//! How much a shard prefers a peer, by each strategy.

use super::{Node, PeerHash, ShardHash, mix};
use crate::namespace::{Namespace, Strategy};

/// Points of a peer on the ring: enough that neighbours differ from peer to peer.
const POINTS: u64 = 64;

/// What a strategy makes of some peers, once for all shards of a namespace.
pub(super) struct Preference<'a> {
    namespace: &'a str,
    strategy: Strategy,
    hashes: Vec<PeerHash>,
    weights: Vec<f64>,
    /// Of the ring: the points of each peer, sorted.
    points: Vec<Vec<u64>>,
    /// Of jump: the peers in the order of their ids.
    order: Vec<usize>,
}

impl<'a> Preference<'a> {
    pub(super) fn new(namespace: &'a Namespace, nodes: &[Node]) -> Self {
        let strategy = namespace.strategy;
        let hashes: Vec<PeerHash> = nodes.iter().map(|node| PeerHash::new(&node.id)).collect();
        let points = match strategy {
            Strategy::Ring => hashes.iter().map(|hash| points(*hash)).collect(),
            _ => Vec::new(),
        };
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_unstable_by_key(|at| nodes.get(*at).map(|node| &node.id));
        let weights = nodes.iter().map(|node| f64::from(node.weight.max(1))).collect();
        Self { namespace: &namespace.name, strategy, hashes, weights, points, order }
    }

    /// How much a shard prefers each of some peers: the one with the highest number first.
    pub(super) fn of(&self, shard: u32) -> Preferred<'_> {
        let hash = ShardHash::new(self.namespace, shard);
        let first = match self.strategy {
            Strategy::Jump => self.order.get(jump(hash.0, self.order.len())).copied(),
            _ => None,
        };
        Preferred { preference: self, hash, first }
    }
}

pub(super) struct Preferred<'a> {
    preference: &'a Preference<'a>,
    hash: ShardHash,
    first: Option<usize>,
}

impl Preferred<'_> {
    /// The number of one peer; 0 for one that there is not.
    pub(super) fn score(&self, node: usize) -> u64 {
        let Some(peer) = self.preference.hashes.get(node) else { return 0 };
        let score = peer.score(self.hash);
        match self.preference.strategy {
            Strategy::Rendezvous => score,
            Strategy::WeightedRendezvous | Strategy::LocalityAware => {
                self.preference.weights.get(node).map_or(0, |weight| weighed(score, *weight))
            }
            Strategy::Ring => self.preference.points.get(node).map_or(0, |points| near(points, self.hash.0)),
            Strategy::Jump if self.first == Some(node) => u64::MAX,
            Strategy::Jump => score >> 1,
        }
    }

    /// The peer that is preferred to all others of some; among equals the first one.
    pub(super) fn best(&self, among: impl Iterator<Item = usize>) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        for node in among {
            let score = self.score(node);
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, node));
            }
        }
        best.map(|(_, node)| node)
    }
}

/// A score by weight (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005): `w / -ln(u)`
/// with `u` the score as a fraction. Floating-point numbers above zero are ordered as their bits are.
fn weighed(score: u64, weight: f64) -> u64 {
    // 53 bits fit exactly; a half keeps it off 0 and 1.
    let fraction = ((score >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (weight / -fraction.ln()).to_bits()
}

fn points(peer: PeerHash) -> Vec<u64> {
    let mut points: Vec<u64> = (0..POINTS).map(|n| mix(peer.0.wrapping_add(mix(n + 1)))).collect();
    points.sort_unstable();
    points
}

/// How near the next of a peer's points on the ring is: the nearer the more.
fn near(points: &[u64], from: u64) -> u64 {
    let next = points.partition_point(|point| *point < from);
    let point = points.get(next).or_else(|| points.first()).copied().unwrap_or(from);
    u64::MAX - point.wrapping_sub(from)
}

/// Jump consistent hashing (Lamping and Veach, 2014): 0 to `buckets - 1`, 0 where there are none.
fn jump(mut key: u64, buckets: usize) -> usize {
    let buckets = u64::try_from(buckets).unwrap_or(u64::MAX);
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let step = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * step) as u64;
    }
    usize::try_from(bucket).unwrap_or(0)
}
