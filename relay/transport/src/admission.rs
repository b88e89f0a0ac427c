//! Who may connect: places for connections, for handshakes, and for each client address.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;
use crate::places::{Places, Taken};
use crate::stats::{Bound, Held, ListenerStats};

/// Locks that addresses are spread over, so that two accepting tasks rarely meet.
const SHARDS: usize = 16;

/// Hands out the places of one listener. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Admission {
    connections: Arc<Places>,
    handshakes: Arc<Places>,
    retry_above: Arc<AtomicU32>,
    addresses: Arc<Addresses>,
    stats: ListenerStats,
}

/// A place among the connections.
#[derive(Debug)]
pub(crate) struct Place {
    _taken: Taken,
    _held: Held,
}

/// A place among the handshakes.
pub(crate) type Handshaking = Taken;

impl Admission {
    pub(crate) fn new(limits: &Limits, stats: ListenerStats) -> Self {
        Self {
            connections: Places::new(limits.max_connections),
            handshakes: Places::new(limits.max_handshakes),
            retry_above: Arc::new(AtomicU32::new(limits.retry_above_handshakes)),
            addresses: Arc::new(Addresses::new(limits.max_connections_per_address)),
            stats,
        }
    }

    /// These are the bounds from now on; who has a place keeps it.
    pub(crate) fn set(&self, limits: &Limits) {
        self.connections.set(limits.max_connections);
        self.handshakes.set(limits.max_handshakes);
        self.retry_above.store(limits.retry_above_handshakes, Relaxed);
        self.addresses.max.store(limits.max_connections_per_address, Relaxed);
    }

    /// A place among the connections and one among the handshakes, or a counted refusal.
    pub(crate) fn connection(&self) -> Option<(Place, Handshaking)> {
        let Some(taken) = Places::take(&self.connections) else {
            self.stats.refused(Bound::Connections);
            return None;
        };
        let Some(handshaking) = Places::take(&self.handshakes) else {
            self.stats.refused(Bound::Handshakes);
            return None;
        };
        Some((Place { _taken: taken, _held: self.stats.hold_connection() }, handshaking))
    }

    /// A place among the connections of one address, or a counted refusal.
    pub(crate) fn address(&self, address: IpAddr) -> Option<AddressPlace> {
        let place = Addresses::take(&self.addresses, network(address));
        if place.is_none() {
            self.stats.refused(Bound::ConnectionsPerAddress);
        }
        place
    }

    /// Whether so many handshakes are open that a QUIC client has to prove its address first.
    pub(crate) fn wants_proof_of_address(&self) -> bool {
        self.handshakes.taken() > self.retry_above.load(Relaxed)
    }
}

/// What counts as one client: an IPv6 network gives each of its hosts a /64 to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

struct Addresses {
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    hasher: RandomState,
    max: AtomicU32,
}

impl Addresses {
    fn new(max: u32) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), max: AtomicU32::new(max) }
    }

    fn take(this: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let mut shard = this.shard(address);
        let count = shard.entry(address).or_default();
        if *count >= this.max.load(Relaxed) {
            return None;
        }
        *count += 1;
        Some(AddressPlace { addresses: Arc::clone(this), address })
    }

    fn shard(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let index = usize::try_from(self.hasher.hash_one(address) % SHARDS as u64).unwrap_or_default();
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections of one address; given back when dropped.
pub(crate) struct AddressPlace {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut shard = self.addresses.shard(self.address);
        match shard.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                shard.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn an_address_has_its_own_places_and_leaves_nothing_behind() {
        let addresses = Arc::new(Addresses::new(2));
        let take = |text: &str| Addresses::take(&addresses, network(text.parse().unwrap()));
        let held = [take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap()];
        assert!(take("10.0.0.1").is_none());
        let other = [take("10.0.0.2").unwrap(), take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert!(take("2001:db8::3").is_none(), "one /64 is one client");
        assert!(take("2001:db8:0:1::3").is_some());
        drop((held, other));
        assert!(addresses.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
