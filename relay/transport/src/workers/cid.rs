//! Connection ids that say which worker of which process a connection lives on, to those who hold the key.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of every id that a listener hands out.
pub(super) const LENGTH: u8 = 8;
/// How many of them come before the tag.
const HEAD: usize = 5;

/// Hides where a connection lives in an id. Observers see eight bytes that look random (RFC 9000, section
/// 5.1 asks that ids of one connection cannot be told to belong together). The kernel's program
/// finds the worker with one multiplication; which of several processes that follow each other is
/// meant, and whether the id is ours at all, stands in a tag that only processes look at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    multiplier: u32,
    secret: [u64; 2],
}

/// Where a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) worker: u8,
    /// Of the processes that follow each other with the same sockets.
    pub(super) generation: u8,
}

impl Key {
    pub(super) fn random() -> Self {
        let random = || RandomState::new().hash_one(0_u8);
        let multiplier = random().to_be_bytes();
        let multiplier = u32::from_be_bytes([multiplier[0], multiplier[1], multiplier[2], multiplier[3]]);
        // Odd, so that every bit of an id matters to the product.
        Self { multiplier: multiplier | 1, secret: [random(), random()] }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn multiplier(&self) -> u32 {
        self.multiplier
    }

    fn mask(&self, random: [u8; 4]) -> u8 {
        u32::from_be_bytes(random).wrapping_mul(self.multiplier).to_be_bytes()[0]
    }

    /// What the tag of generation 0 is after this head. It is the same in every version of the program.
    fn tag(&self, head: [u8; HEAD]) -> [u8; 3] {
        let [one, other] = self.secret.map(u64::to_be_bytes);
        let digest = Sha256::new().chain_update(one).chain_update(other).chain_update(head).finalize();
        [digest[0], digest[1], digest[2]]
    }

    fn id(&self, place: Place, random: [u8; 4]) -> [u8; 8] {
        let [a, b, c, d] = random;
        let head = [place.worker ^ self.mask(random), a, b, c, d];
        let [x, y, z] = self.tag(head);
        [head[0], a, b, c, d, x ^ place.generation, y, z]
    }

    /// Where the connection of an id lives, if the id is ours: of a stranger's, one in 65 536 seems to be.
    pub(super) fn place(&self, id: &[u8]) -> Option<Place> {
        let [first, a, b, c, d, x, y, z] = *<&[u8; 8]>::try_from(id).ok()?;
        let tag = self.tag([first, a, b, c, d]);
        (tag[1..] == [y, z])
            .then(|| Place { worker: first ^ self.mask([a, b, c, d]), generation: x ^ tag[0] })
    }
}

/// Makes the ids of one place.
pub(super) struct WorkerIds {
    place: Place,
    key: Key,
    /// A keyed hash of a counter: as random as its key, without a system call an id.
    random: RandomState,
    made: u64,
}

impl WorkerIds {
    pub(super) fn new(place: Place, key: Key) -> Self {
        Self { place, key, random: RandomState::new(), made: 0 }
    }
}

impl ConnectionIdGenerator for WorkerIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made = self.made.wrapping_add(1);
        let [a, b, c, d, ..] = self.random.hash_one(self.made).to_be_bytes();
        ConnectionId::new(&self.key.id(self.place, [a, b, c, d]))
    }

    /// A packet that was led astray must not be answered with a stateless reset, which would end a
    /// connection that is alive elsewhere.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        if self.key.place(id) == Some(self.place) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        usize::from(LENGTH)
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The id that a datagram is for (RFC 8999, section 5), where it is as long as ours.
pub(super) fn destination(datagram: &[u8]) -> Option<&[u8]> {
    let length = usize::from(LENGTH);
    if datagram.first()? & 0x80 == 0 {
        return datagram.get(1..1 + length);
    }
    (usize::from(*datagram.get(5)?) == length).then(|| datagram.get(6..6 + length))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_leads_to_its_place_and_looks_random() {
        let key = Key::random();
        for (worker, generation) in [(0, 0), (1, 0), (1, 255), (63, 7)] {
            let place = Place { worker, generation };
            let mut ids = WorkerIds::new(place, key.clone());
            let made: Vec<ConnectionId> = (0..512).map(|_| ids.generate_cid()).collect();
            assert!(made.iter().all(|id| key.place(id) == Some(place) && ids.validate(id).is_ok()));
            for byte in 0..8 {
                let seen: HashSet<u8> = made.iter().map(|id| id[byte]).collect();
                assert!(seen.len() > 100, "the numbers do not show: {}", seen.len());
            }
            let all: HashSet<&[u8]> = made.iter().map(|id| &id[..]).collect();
            assert_eq!(all.len(), made.len());
            for other in [Place { worker: worker + 1, ..place }, Place { generation: 9, ..place }] {
                let other = WorkerIds::new(other, key.clone());
                assert!(made.iter().all(|id| other.validate(id).is_err()));
            }
            let stranger = Key::random();
            assert!(made.iter().filter(|id| stranger.place(id).is_some()).count() < 3);
        }
        assert_eq!(key.place(&[0; 7]), None);
        assert_eq!(key.place(&[0; 20]), None);
    }

    #[test]
    fn a_tag_is_what_the_next_version_will_look_for() {
        let key: Key = serde_json::from_str(r#"{"multiplier":2654435769,"secret":[1,2]}"#).unwrap();
        let place = Place { worker: 3, generation: 2 };
        assert_eq!(key.id(place, [1, 2, 3, 4]), GOLDEN);
        assert_eq!(key.place(&GOLDEN), Some(place));
    }

    const GOLDEN: [u8; 8] = [200, 1, 2, 3, 4, 151, 171, 211];

    #[test]
    fn the_id_of_a_datagram_is_found_where_it_stands() {
        let short = [0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(destination(&short), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert_eq!(destination(&short[..8]), None);
        let long = [0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
        assert_eq!(destination(&long), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert_eq!(destination(&[0xc0, 0, 0, 0, 1, 20, 1, 2, 3, 4, 5, 6, 7, 8, 0]), None);
        assert_eq!(destination(&long[..9]), None);
        assert_eq!(destination(&[]), None);
    }
}
