//! What each of many callers may have at once and in a time, in a table that does not grow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::moment::Moment;
use crate::rate::{Bucket, Rate};

/// Places in which a caller may be kept: as many as one look finds quickly.
const WAYS: usize = 8;
/// Groups of such places.
const SETS: usize = 1024;

/// Bounds of each caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCaller {
    /// Calls that begin in a time.
    pub rate: Option<Rate>,
    /// Calls in flight.
    pub max_pending: Option<u32>,
}

/// Why a caller gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerDenied {
    /// Too many began; another may after so long.
    Rate(Duration),
    /// Too many are in flight.
    Pending,
}

/// A table of 8192 callers by the hash of their names. One who has nothing in flight and whose bucket is full is
/// forgotten where another needs the place: remembering would change nothing. Where all places of a group are in
/// use, those who come share the last one, so that nobody escapes the bounds by coming under many names.
#[derive(Debug)]
pub struct Callers(Box<[Mutex<[Entry; WAYS]>]>);

#[derive(Debug, Default)]
struct Entry {
    key: u64,
    bucket: Bucket,
    pending: u32,
}

/// Where a caller is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    set: usize,
    way: usize,
}

impl Default for Callers {
    fn default() -> Self {
        Self((0..SETS).map(|_| Mutex::default()).collect())
    }
}

impl Callers {
    /// Lets a call of a caller begin; it is in flight until [`Callers::leave`]. The key is a hash that callers
    /// cannot foresee.
    ///
    /// # Errors
    /// Where the caller has had its part.
    pub fn enter(&self, bounds: PerCaller, key: u64, now: Moment) -> Result<Seat, CallerDenied> {
        // The low bits of keys that differ are as good as any.
        let set = usize::try_from(key % (SETS as u64)).unwrap_or(0);
        let Some(mut entries) = self.set(set) else { return Err(CallerDenied::Pending) };
        let known = entries.iter().position(|entry| entry.key == key && !entry.is_idle(now));
        let free = || entries.iter().position(|entry| entry.is_idle(now));
        let way = known.or_else(free).unwrap_or(WAYS - 1);
        let Some(entry) = entries.get_mut(way) else { return Err(CallerDenied::Pending) };
        if entry.is_idle(now) {
            entry.key = key;
        }
        if bounds.max_pending.is_some_and(|max| entry.pending >= max) {
            return Err(CallerDenied::Pending);
        }
        if let Some(rate) = bounds.rate {
            entry.bucket.take(rate, now).map_err(CallerDenied::Rate)?;
        }
        entry.pending += 1;
        Ok(Seat { set, way })
    }

    /// A call has ended.
    pub fn leave(&self, seat: Seat) {
        if let Some(mut entries) = self.set(seat.set)
            && let Some(entry) = entries.get_mut(seat.way)
        {
            entry.pending = entry.pending.saturating_sub(1);
        }
    }

    fn set(&self, set: usize) -> Option<MutexGuard<'_, [Entry; WAYS]>> {
        // Nothing is left half done by whoever panics.
        self.0.get(set).map(|set| set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    fn is_idle(&self, now: Moment) -> bool {
        self.pending == 0 && self.bucket.is_full(now)
    }
}
