//! All records in memory as one revision left them, kept up by applying the log in its order. Sans-IO.
//!
//! A node decides on mutations by its replica; etcd takes them only where the log has not gone on
//! meanwhile, so that what was decided holds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use meshkit_model::Kind;

use super::layout::{Logged, Stored, Tip};
use crate::api::{Change, Entry};
use crate::error::StoreError;
use crate::write::Standing;

/// The most changes kept in memory for those who follow.
const TAIL: usize = 16_384;

/// A record in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) version: u64,
    pub(super) fence: Option<(u64, Arc<str>)>,
    pub(super) made: u64,
    pub(super) value: Arc<str>,
}

#[derive(Debug, Default)]
pub(super) struct Replica {
    tip: Tip,
    records: BTreeMap<Kind, BTreeMap<String, Kept>>,
    tail: VecDeque<Vec<Change>>,
    tail_changes: usize,
    /// The revision before the tail's first.
    tail_after: u64,
    tail_most: usize,
}

/// What became of an entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is applied, now or before.
    Yes,
    /// Entries before it are missing.
    Gap,
}

impl Replica {
    /// A replica with the records as they were at a tip. It keeps at most `changes_kept` changes.
    pub(super) fn new(tip: Tip, changes_kept: u64) -> Self {
        let tail_most = usize::try_from(changes_kept).unwrap_or(TAIL).min(TAIL);
        Self { tail_after: tip.revision, tip, tail_most, ..Self::default() }
    }

    pub(super) fn load(&mut self, kind: Kind, key: String, stored: Stored) {
        self.records.entry(kind).or_default().insert(key, Kept::new(stored));
    }

    pub(super) fn unload(&mut self, kind: Kind, key: &str) {
        if let Some(records) = self.records.get_mut(&kind) {
            records.remove(key);
        }
    }

    pub(super) fn tip(&self) -> &Tip {
        &self.tip
    }

    pub(super) fn get(&self, kind: Kind, key: &str) -> Option<&Kept> {
        self.records.get(&kind)?.get(key)
    }

    /// The records of some kinds, in order.
    pub(super) fn entries(&self, kinds: &[Kind]) -> Vec<Entry> {
        let of = |kind: Kind| {
            let records = self.records.get(&kind).into_iter().flatten();
            records.map(move |(key, kept)| kept.entry(kind, key))
        };
        kinds.iter().copied().flat_map(of).collect()
    }

    /// Applies an entry of the log whose rows are with it.
    ///
    /// # Errors
    /// A row that cannot be read.
    pub(super) fn apply(&mut self, logged: &Logged) -> Result<Applied, StoreError> {
        if logged.after.seq <= self.tip.seq {
            return Ok(Applied::Yes);
        }
        if logged.before.seq != self.tip.seq {
            return Ok(Applied::Gap);
        }
        if logged.before != self.tip {
            let seq = logged.after.seq;
            return Err(StoreError::Damaged(format!("log entry {seq} does not follow the one before")));
        }
        let mut changes = Vec::with_capacity(logged.rows.len());
        for row in &logged.rows {
            let kind: Kind = row.kind.parse().map_err(|error| damaged(logged, &error))?;
            let kept = row.after.clone().map(Kept::new);
            changes.push(Change {
                revision: logged.after.revision,
                kind,
                key: row.key.clone(),
                version: row.version,
                value: kept.as_ref().map(|kept| Arc::clone(&kept.value)),
            });
            let records = self.records.entry(kind).or_default();
            match kept {
                Some(kept) => drop(records.insert(row.key.clone(), kept)),
                None => drop(records.remove(&row.key)),
            }
        }
        self.tip = logged.after.clone();
        if !changes.is_empty() {
            self.remember(changes);
        }
        Ok(Applied::Yes)
    }

    fn remember(&mut self, changes: Vec<Change>) {
        self.tail_changes += changes.len();
        self.tail.push_back(changes);
        while self.tail_changes > self.tail_most {
            let Some(oldest) = self.tail.pop_front() else { return };
            self.tail_changes -= oldest.len();
            self.tail_after = oldest.last().map_or(self.tail_after, |change| change.revision);
        }
    }

    /// Changes after a revision in whole revisions, at least `limit` where there are so many; none
    /// where memory does not reach back so far.
    pub(super) fn changes(&self, after: u64, limit: u32) -> Option<Vec<Change>> {
        if after < self.tail_after {
            return None;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        let begin =
            self.tail.partition_point(|changes| changes.last().is_some_and(|last| last.revision <= after));
        let mut found = Vec::new();
        for changes in self.tail.range(begin..) {
            if found.len() >= limit {
                break;
            }
            found.extend_from_slice(changes);
        }
        Some(found)
    }
}

impl Kept {
    pub(super) fn new(stored: Stored) -> Self {
        let owner: Arc<str> = stored.owner.into();
        Self {
            version: stored.version,
            fence: stored.fence.map(|number| (number, owner)),
            made: stored.made,
            value: stored.value.into(),
        }
    }

    pub(super) fn entry(&self, kind: Kind, key: &str) -> Entry {
        Entry { kind, key: key.to_owned(), version: self.version, value: Arc::clone(&self.value) }
    }

    pub(super) fn standing(&self) -> Standing<'_> {
        let fence = self.fence.as_ref().map(|(number, owner)| (*number, &**owner));
        Standing { version: self.version, fence }
    }
}

fn damaged(logged: &Logged, error: &dyn std::error::Error) -> StoreError {
    StoreError::Damaged(format!("log entry {} cannot be read: {error}", logged.after.seq))
}
