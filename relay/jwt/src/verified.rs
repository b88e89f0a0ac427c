//! Tokens that were verified a moment ago: a caller shows the same one with every call, and a signature costs more than
//! all else that a call does.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ring::digest::{SHA256, digest};

use crate::claims::Claims;

/// How many are remembered; a newer one takes the place of one whose hash begins alike.
const PLACES: usize = 1024;

pub(crate) type Hash = [u8; 32];

/// Verified tokens by their hash. Only what a key signed comes in, so that strangers cannot push anything out.
pub(crate) struct Verified(Box<[Place]>);

type Place = ArcSwapOption<(Hash, Arc<Claims>)>;

impl Verified {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| ArcSwapOption::empty()).collect())
    }

    pub(crate) fn hash(token: &str) -> Hash {
        let mut hash = Hash::default();
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        hash
    }

    pub(crate) fn get(&self, hash: &Hash) -> Option<Arc<Claims>> {
        let entry = self.place(hash)?.load();
        entry.as_ref().filter(|entry| entry.0 == *hash).map(|entry| Arc::clone(&entry.1))
    }

    pub(crate) fn put(&self, hash: Hash, claims: &Arc<Claims>) {
        let Some(place) = self.place(&hash) else { return };
        if place.load().as_ref().is_none_or(|entry| entry.0 != hash) {
            place.store(Some(Arc::new((hash, Arc::clone(claims)))));
        }
    }

    fn place(&self, hash: &Hash) -> Option<&Place> {
        let index = usize::from(u16::from_le_bytes([hash[0], hash[1]])) % PLACES;
        self.0.get(index)
    }
}
