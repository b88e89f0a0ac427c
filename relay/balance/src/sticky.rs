//! Which peer a key went to last: a table of bounded size that forgets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Keys that are remembered at most; one that loses its place is placed anew. 512 KiB.
const PLACES: usize = 1 << 16;
/// Places that a key can stand in.
const WAYS: usize = 2;

/// Each place holds half of a key's hash and half of a peer's id; 0 is empty.
#[derive(Debug)]
pub(crate) struct Sticky(Box<[AtomicU64]>);

impl Sticky {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    /// The upper half of the id of the peer that a key went to.
    pub(crate) fn get(&self, key: u64) -> Option<u32> {
        let mut held = self.places(key).iter().map(|place| place.load(Relaxed));
        held.find(|word| *word != 0 && word >> 32 == key >> 32).map(low)
    }

    /// Remembers the peer of a key in its place, in an empty one, or in one that `random` takes
    /// from another key.
    pub(crate) fn put(&self, key: u64, id: u32, random: u64) {
        let word = key >> 32 << 32 | u64::from(id);
        let places = self.places(key);
        let own = |place: &&AtomicU64| place.load(Relaxed) >> 32 == key >> 32;
        let empty = |place: &&AtomicU64| place.load(Relaxed) == 0;
        let victim = usize::try_from(random).unwrap_or(0) % WAYS;
        let place = places.iter().find(own).or_else(|| places.iter().find(empty)).or(places.get(victim));
        if let Some(place) = place {
            place.store(word, Relaxed);
        }
    }

    fn places(&self, key: u64) -> &[AtomicU64] {
        let set = usize::try_from(key).unwrap_or(0) % (PLACES / WAYS) * WAYS;
        self.0.get(set..set + WAYS).unwrap_or_default()
    }
}

fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}
