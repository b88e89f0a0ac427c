//! Places of which so many may be taken at once; how many can change while some are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicU32,
    most: AtomicU32,
}

/// A taken place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Places>);

impl Places {
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), most: AtomicU32::new(most) })
    }

    /// A place, where one is free.
    pub(crate) fn take(this: &Arc<Self>) -> Option<Taken> {
        let most = this.most.load(Relaxed);
        let more = |taken: u32| (taken < most).then(|| taken + 1);
        let taken = this.taken.fetch_update(Relaxed, Relaxed, more);
        taken.is_ok().then(|| Taken(Arc::clone(this)))
    }

    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// So many may be taken from now on. Where more are, they stay so and nobody gets another.
    pub(crate) fn set(&self, most: u32) {
        self.most.store(most, Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn a_bound_that_shrinks_takes_nobodys_place() {
        let places = Places::new(2);
        let (first, second) = (Places::take(&places).unwrap(), Places::take(&places).unwrap());
        assert!(Places::take(&places).is_none());
        places.set(3);
        let third = Places::take(&places).unwrap();
        places.set(1);
        drop(first);
        assert!(Places::take(&places).is_none());
        drop((second, third));
        assert_eq!(places.taken(), 0);
        assert!(Places::take(&places).is_some());
    }
}
