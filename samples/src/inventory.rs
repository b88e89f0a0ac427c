//! The service that owns state: stock counts by item, in memory, within bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use relay_core::{Code, Status};

#[cfg(test)]
mod tests;

/// How many items one instance holds.
const MAX_ITEMS: usize = 100_000;
/// The longest name of an item, in bytes.
const MAX_NAME: usize = 128;

/// The stock of the items that this instance owns. Counts are never below nought; an item that is
/// not held counts nought.
#[derive(Debug)]
pub(crate) struct Stock {
    counts: Mutex<HashMap<String, i64>>,
    max_items: usize,
}

impl Default for Stock {
    fn default() -> Self {
        Self::bounded(MAX_ITEMS)
    }
}

impl Stock {
    fn bounded(max_items: usize) -> Self {
        Self { counts: Mutex::default(), max_items }
    }

    /// How many there are of an item.
    pub(crate) fn count(&self, item: &str) -> Result<i64, Status> {
        check(item)?;
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(counts.get(item).copied().unwrap_or_default())
    }

    /// Adds `by`, which may be below nought, and gives the new count; a refused change changes
    /// nothing.
    pub(crate) fn adjust(&self, item: &str, by: i64) -> Result<i64, Status> {
        check(item)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, full) = (counts.get(item).copied().unwrap_or_default(), counts.len() >= self.max_items);
        let count = held.checked_add(by).ok_or_else(|| {
            Status::new(Code::OutOfRange, format!("{held} and {by} more of `{item}` cannot be counted"))
                .with_hint("adjust by less")
        })?;
        if count < 0 {
            return Err(Status::new(Code::FailedPrecondition, format!("there are only {held} of `{item}`"))
                .with_hint("take less, or add stock first"));
        }
        match counts.entry(item.to_owned()) {
            // Nought is what an unknown item counts, and needs no room.
            Entry::Occupied(entry) if count == 0 => {
                entry.remove();
            }
            Entry::Occupied(mut entry) => {
                entry.insert(count);
            }
            Entry::Vacant(_) if count == 0 => {}
            Entry::Vacant(_) if full => {
                let message = format!("this instance holds {} items and no more", self.max_items);
                return Err(
                    Status::new(Code::ResourceExhausted, message).with_hint("sell out of others first")
                );
            }
            Entry::Vacant(entry) => {
                entry.insert(count);
            }
        }
        Ok(count)
    }
}

fn check(item: &str) -> Result<(), Status> {
    if (1..=MAX_NAME).contains(&item.len()) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("`item` has {} bytes", item.len()))
        .with_hint(format!("name an item of 1 to {MAX_NAME} bytes, as {{\"item\":\"apple\"}}")))
}
