//! Whom a call was sent to.

/// Peers that one call is sent to at most.
const MAX_TRIED: usize = 16;

/// The peers that a call was sent to.
#[derive(Clone, Copy, Default)]
pub(super) struct Tried {
    ids: [u64; MAX_TRIED],
    count: usize,
}

impl Tried {
    pub(super) fn ids(&self) -> &[u64] {
        self.ids.get(..self.count).unwrap_or_default()
    }

    pub(super) fn add(&mut self, id: u64) {
        if let Some(place) = self.ids.get_mut(self.count) {
            *place = id;
            self.count += 1;
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count == MAX_TRIED
    }
}
