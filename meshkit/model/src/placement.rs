//! Which shard a key falls into, and which peer a shard belongs to.
//!
//! The way from a key to its shard is pinned: every SDK in every language computes the same, for ever
//! (`docs/reference/shard-hash.md`, vectors in `proto/shard-hash.json`). Owners stand in the records:
//! [`place`] names them, and nobody else computes them. All arithmetic is on unsigned 64-bit integers
//! and wraps.
//!
//! ```text
//! mix(x):           x ^= x >> 33; x *= 0xff51afd7ed558ccd;
//!                   x ^= x >> 33; x *= 0xc4ceb9fe1a85ec53;
//!                   x ^= x >> 33                                  (MurmurHash3's fmix64)
//! hash(bytes):      h = 0xcbf29ce484222325;
//!                   for b in bytes { h ^= b; h *= 0x100000001b3 } (FNV-1a, 64 bit)
//!                   mix(h)
//! shard(key, n):    hash(key) mod n
//! score(ns, s, p):  mix(mix(hash(ns) + s) ^ hash(p))
//! ```
//!
//! Neither is a defence against chosen keys: whoever picks keys can crowd a shard.
//!
//! Test vectors:
//!
//! | call | result |
//! | --- | --- |
//! | `hash("")` | `0xefd01f60ba992926` |
//! | `hash("order-1")` | `0x491b422e3af0d9a5` |
//! | `hash("ÿ€")` (UTF-8) | `0xb5ec4ade991086b1` |
//! | `shard("order-1", 64)` | 37 |
//! | `shard("order-1", 65536)` | 55717 |
//! | `score("orders", 0, "greeter-1")` | `0xdae00966412e0c71` |
//! | `score("orders", 63, "greeter-1")` | `0xdfa9ec88bc404cd6` |
//! | `score("orders", 63, "greeter-2")` | `0x68d9a9dd36f18a05` |
//!
//! A score depends on the shard and the one peer alone.

mod place;
mod preference;

pub use place::{Node, Placed, Takes, place, standbys};

use crate::peer::PeerId;

pub(crate) const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// The pinned hash of the mesh.
#[must_use]
pub const fn hash(bytes: &[u8]) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        h = (h ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    mix(h)
}

/// The shard, 0 to `shards - 1`, that a key falls into; 0 where there are no shards.
#[must_use]
pub fn shard_of_key(key: &[u8], shards: u32) -> u32 {
    // The remainder is below `shards`, so it fits.
    u32::try_from(hash(key).checked_rem(u64::from(shards)).unwrap_or(0)).unwrap_or(0)
}

/// How much a peer wants a shard. Whoever scores many pairs takes a [`ShardHash`] and a
/// [`PeerHash`] once and combines them.
#[must_use]
pub fn score(namespace: &str, shard: u32, peer: &PeerId) -> u64 {
    PeerHash::new(peer).score(ShardHash::new(namespace, shard))
}

/// The shard's half of a score.
#[derive(Clone, Copy, Debug)]
pub struct ShardHash(u64);

impl ShardHash {
    /// Hashes a shard of a namespace.
    #[must_use]
    pub fn new(namespace: &str, shard: u32) -> Self {
        Self(mix(hash(namespace.as_bytes()).wrapping_add(u64::from(shard))))
    }
}

/// The peer's half of a score.
#[derive(Clone, Copy, Debug)]
pub struct PeerHash(u64);

impl PeerHash {
    /// Hashes a peer.
    #[must_use]
    pub fn new(peer: &PeerId) -> Self {
        Self(hash(peer.as_str().as_bytes()))
    }

    /// The score of this peer for a shard.
    #[must_use]
    pub const fn score(self, shard: ShardHash) -> u64 {
        mix(shard.0 ^ self.0)
    }
}

#[cfg(test)]
mod tests;
