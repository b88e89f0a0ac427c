//! Connection ids that say which worker a connection lives on, to those who hold the key.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

/// Bytes of every id that a listener hands out.
pub(super) const LENGTH: u8 = 8;

/// Hides a worker's number in an id. Observers see eight bytes that look random (RFC 9000, section
/// 5.1 asks that ids of one connection cannot be told to belong together); the kernel's program
/// finds the number with one multiplication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(u32);

impl Key {
    pub(super) fn random() -> Self {
        let random = RandomState::new().hash_one(0_u8).to_be_bytes();
        // Odd, so that every bit of an id matters to the product.
        Self(u32::from_be_bytes([random[0], random[1], random[2], random[3]]) | 1)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn multiplier(self) -> u32 {
        self.0
    }

    fn mask(self, random: [u8; 4]) -> u8 {
        u32::from_be_bytes(random).wrapping_mul(self.0).to_be_bytes()[0]
    }

    /// The worker that an id names; any number for an id that is not ours.
    pub(super) fn worker(self, id: &[u8]) -> Option<u8> {
        let [first, a, b, c, d, ..] = id else { return None };
        (id.len() == usize::from(LENGTH)).then(|| first ^ self.mask([*a, *b, *c, *d]))
    }
}

/// Makes one worker's ids.
pub(super) struct WorkerIds {
    worker: u8,
    key: Key,
    /// A keyed hash of a counter: as random as its key, without a system call an id.
    random: RandomState,
    made: u64,
}

impl WorkerIds {
    pub(super) fn new(worker: u8, key: Key) -> Self {
        Self { worker, key, random: RandomState::new(), made: 0 }
    }
}

impl ConnectionIdGenerator for WorkerIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made = self.made.wrapping_add(1);
        let mut id = self.random.hash_one(self.made).to_be_bytes();
        id[0] = self.worker ^ self.key.mask([id[1], id[2], id[3], id[4]]);
        ConnectionId::new(&id)
    }

    /// A packet that was led astray must not be answered with a stateless reset, which would end a
    /// connection that is alive elsewhere.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        if self.key.worker(id) == Some(self.worker) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        usize::from(LENGTH)
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_leads_to_its_worker_and_looks_random() {
        let key = Key::random();
        for worker in [0, 1, 63] {
            let mut ids = WorkerIds::new(worker, key);
            let made: Vec<ConnectionId> = (0..512).map(|_| ids.generate_cid()).collect();
            assert!(made.iter().all(|id| key.worker(id) == Some(worker) && ids.validate(id).is_ok()));
            let firsts: HashSet<u8> = made.iter().map(|id| id[0]).collect();
            assert!(firsts.len() > 100, "the number does not show: {}", firsts.len());
            let all: HashSet<&[u8]> = made.iter().map(|id| &id[..]).collect();
            assert_eq!(all.len(), made.len());
            let other = WorkerIds::new(worker + 1, key);
            assert!(made.iter().all(|id| other.validate(id).is_err()));
        }
        assert_eq!(key.worker(&[0; 7]), None);
        assert_eq!(key.worker(&[0; 20]), None);
    }
}
