//! A change as watchers see it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use meshkit_model::{Fields, Kind, Record};

use crate::api::Change;
use crate::error::StoreError;
use crate::view::Tables;

/// A place in the changes: behind one of those that a revision made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The revision.
    pub revision: u64,
    /// Which of its changes, from 0; [`u32::MAX`] stands for all of them.
    pub index: u32,
}

impl Position {
    /// Behind all of a revision.
    #[must_use]
    pub const fn after(revision: u64) -> Self {
        Self { revision, index: u32::MAX }
    }

    /// The newest revision that lies before as a whole.
    pub(super) const fn whole_before(self) -> u64 {
        match self.index {
            u32::MAX => self.revision,
            _ => self.revision.saturating_sub(1),
        }
    }
}

/// How an event is written for those who receive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON, as server-sent events carry it.
    Json,
    /// Protobuf, as gRPC carries it.
    Protobuf,
}

/// A change of a record.
#[derive(Debug)]
pub struct Event {
    change: Change,
    index: u32,
    before: Option<Fields>,
    after: Option<Fields>,
    json: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

impl Event {
    /// An event with what can be filtered by, before and after; `None` where there was or is no
    /// record.
    pub(crate) fn new(change: Change, index: usize, before: Option<Fields>, after: Option<Fields>) -> Self {
        // A revision has far fewer changes.
        let index = u32::try_from(index).unwrap_or(u32::MAX - 1);
        Self { change, index, before, after, json: OnceLock::new(), protobuf: OnceLock::new() }
    }

    /// Events of whole revisions that were read from history, which tells nothing of before.
    pub(super) fn of_history(changes: &[Change]) -> Result<Vec<Arc<Self>>, StoreError> {
        let mut events = Vec::with_capacity(changes.len());
        for revision in changes.chunk_by(|a, b| a.revision == b.revision) {
            for (index, change) in revision.iter().enumerate() {
                let after =
                    change.value.as_deref().map(|value| Tables::fields(change.kind, &change.key, value));
                events.push(Arc::new(Self::new(change.clone(), index, None, after.transpose()?)));
            }
        }
        Ok(events)
    }

    /// What changed.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// The record's kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.change.kind
    }

    /// The revision that made the change.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.change.revision
    }

    /// Behind this event.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { revision: self.change.revision, index: self.index }
    }

    /// The record as it is now; none where it was deleted or is of another kind.
    #[must_use]
    pub fn record<R: Record>(&self) -> Option<R> {
        let value = self.change.value.as_deref().filter(|_| R::KIND == self.change.kind)?;
        serde_json::from_str(value).ok()
    }

    /// The event in a form that everyone who sees it shares: `encode` runs for the first one alone,
    /// so it has to give the same for everybody.
    pub fn encoded(&self, form: Form, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let slot = match form {
            Form::Json => &self.json,
            Form::Protobuf => &self.protobuf,
        };
        slot.get_or_init(|| encode(self)).clone()
    }

    pub(super) const fn fields_before(&self) -> Option<&Fields> {
        self.before.as_ref()
    }

    pub(super) const fn fields_after(&self) -> Option<&Fields> {
        self.after.as_ref()
    }
}
