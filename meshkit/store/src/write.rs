//! What is written to one record, and the rule by which every store takes or refuses it.

use std::sync::Arc;

use meshkit_model::{Fence, Invalid, Kind, Record};

use crate::error::StoreError;
use crate::mutation::{Mutation, at_most};

/// What is done to one record, or asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Adds or replaces a record.
    Put(Put),
    /// Removes a record.
    Delete(Delete),
    /// Changes nothing and makes the whole mutation depend on a record, such as a lease.
    Guard(Guard),
}

/// Adds or replaces a record; made by [`Write::put`] and [`Write::put_fenced`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// The new record as JSON, in the version that follows the expected one.
    pub value: Arc<str>,
    /// What must be there before.
    pub expect: Expect,
    /// For a kind with fences, both of them.
    pub fence: Option<Fencing>,
}

/// The two fences of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fencing {
    /// The fence under which the writer acts: it must be the stored one, 0 where the record is new.
    pub acting: u64,
    /// The fence that the record gets: never below the stored one, and above it where the owner changes.
    pub next: Fence,
}

/// Removes a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// The version that it must have.
    pub version: u64,
    /// The fence under which the writer acts; none for a kind without fences.
    pub acting: Option<u64>,
}

/// Asks something of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// What must hold.
    pub holds: Holds,
}

/// What must be in the store before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No such record.
    Absent,
    /// The record in this version.
    Version(u64),
}

/// What a [`Guard`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// There is no such record.
    Absent,
    /// The record is there in this version.
    Version(u64),
    /// The record is there under this fence.
    Fence(u64),
}

/// What a store knows of a record when it admits a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The record's version.
    pub version: u64,
    /// Its fence and owner; none for a kind without fences.
    pub fence: Option<(u64, &'a str)>,
}

impl Write {
    /// Adds or replaces a record of a kind without fences.
    ///
    /// # Errors
    /// [`Invalid`] for a record that breaks a rule, or whose kind has fences.
    pub fn put<R: Record>(record: &R, expect: Expect) -> Result<Self, Invalid> {
        match record.fence() {
            None => Self::encoded(record, expect, None),
            Some(_) => Err(Invalid::new("fence", format!("is missing; a {} is fenced", R::KIND))),
        }
    }

    /// Adds or replaces a record under a fence: `acting` is the stored one, 0 where the record is new.
    ///
    /// # Errors
    /// [`Invalid`] for a record that breaks a rule, or whose kind has no fences.
    pub fn put_fenced<R: Record>(record: &R, expect: Expect, acting: u64) -> Result<Self, Invalid> {
        match record.fence() {
            Some(next) => Self::encoded(record, expect, Some(Fencing { acting, next })),
            None => Err(Invalid::new("fence", format!("is given; a {} has none", R::KIND))),
        }
    }

    fn encoded<R: Record>(record: &R, expect: Expect, fence: Option<Fencing>) -> Result<Self, Invalid> {
        record.validate()?;
        let mut record = record.clone();
        record.set_version(expect.next());
        let value = serde_json::to_string(&record)
            .map_err(|error| Invalid::new(R::KIND.as_str(), format!("cannot be written: {error}")))?;
        Ok(Self::Put(Put { kind: R::KIND, key: record.key(), value: value.into(), expect, fence }))
    }

    /// Removes a record in the version that was read.
    pub fn delete<R: Record>(record: &R) -> Self {
        let acting = record.fence().map(|fence| fence.number);
        Self::Delete(Delete { kind: R::KIND, key: record.key(), version: record.version(), acting })
    }

    /// Makes the mutation depend on a record.
    pub fn guard(kind: Kind, key: impl Into<String>, holds: Holds) -> Self {
        Self::Guard(Guard { kind, key: key.into(), holds })
    }

    /// The record's kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Put(put) => put.kind,
            Self::Delete(delete) => delete.kind,
            Self::Guard(guard) => guard.kind,
        }
    }

    /// The record's key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(put) => &put.key,
            Self::Delete(delete) => &delete.key,
            Self::Guard(guard) => &guard.key,
        }
    }

    /// The record as audits and errors name it, such as `shard/orders/7`.
    #[must_use]
    pub fn record(&self) -> String {
        format!("{}/{}", self.kind(), self.key())
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let key = self.key();
        if key.is_empty() {
            return Err(Invalid::new("key", "is empty"));
        }
        at_most("key", key.len(), Mutation::MAX_KEY, "bytes")?;
        if key.chars().any(char::is_control) {
            return Err(Invalid::new("key", "has a control character"));
        }
        match self {
            Self::Put(put) => at_most(&self.record(), put.value.len(), Mutation::MAX_VALUE, "bytes"),
            Self::Delete(_) | Self::Guard(_) => Ok(()),
        }
    }

    /// Whether the record as it stands admits this write, and the version that it leaves the record
    /// in: for a deletion the last one, for a guard the present one, 0 where there is none. Every
    /// store decides by this and by nothing else.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] first, then [`StoreError::StaleFence`].
    pub fn admit(&self, standing: Option<Standing<'_>>) -> Result<u64, StoreError> {
        let found = standing.map_or(0, |standing| standing.version);
        match self {
            Self::Put(put) => {
                self.expect(put.expect, found)?;
                self.admit_fence(put.fence.as_ref(), standing)?;
                Ok(found + 1)
            }
            Self::Delete(delete) => {
                self.expect(Expect::Version(delete.version), found)?;
                let current = standing.and_then(|standing| standing.fence).map(|(number, _)| number);
                if delete.acting != current {
                    return Err(self.stale(delete.acting.unwrap_or(0), current.unwrap_or(0)));
                }
                Ok(found)
            }
            Self::Guard(guard) => {
                match guard.holds {
                    Holds::Absent => self.expect(Expect::Absent, found)?,
                    Holds::Version(version) => self.expect(Expect::Version(version), found)?,
                    Holds::Fence(number) => {
                        let current = standing.and_then(|standing| standing.fence);
                        if current.map(|(current, _)| current) != Some(number) {
                            return Err(self.stale(number, current.map_or(0, |(current, _)| current)));
                        }
                    }
                }
                Ok(found)
            }
        }
    }

    fn expect(&self, expect: Expect, found: u64) -> Result<(), StoreError> {
        let (holds, expected) = match expect {
            Expect::Absent => (found == 0, "new".to_owned()),
            // Version 0 is no version: it would let `Version(0)` mean `Absent`.
            Expect::Version(version) => (version == found && version != 0, version.to_string()),
        };
        if holds { Ok(()) } else { Err(StoreError::Conflict { record: self.record(), expected, found }) }
    }

    fn admit_fence(
        &self,
        fencing: Option<&Fencing>,
        standing: Option<Standing<'_>>,
    ) -> Result<(), StoreError> {
        let stored = standing.and_then(|standing| standing.fence);
        let current = stored.map_or(0, |(number, _)| number);
        let Some(fencing) = fencing else {
            return if stored.is_none() { Ok(()) } else { Err(self.stale(0, current)) };
        };
        if fencing.acting != current {
            return Err(self.stale(fencing.acting, current));
        }
        let moved = stored.is_some_and(|(_, owner)| owner != fencing.next.owner);
        if fencing.next.number < current || (moved && fencing.next.number == current) {
            return Err(self.stale(fencing.next.number, current));
        }
        Ok(())
    }

    fn stale(&self, presented: u64, current: u64) -> StoreError {
        StoreError::StaleFence { record: self.record(), presented, current }
    }
}

impl Expect {
    /// The version that a write under this expectation makes.
    #[must_use]
    pub const fn next(self) -> u64 {
        match self {
            Self::Absent => 1,
            Self::Version(version) => version.saturating_add(1),
        }
    }
}
