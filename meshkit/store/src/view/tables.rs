//! The records of every kind that a view keeps, and the one place that lists those kinds.

use std::collections::BTreeMap;
use std::ops::Bound;

use meshkit_model::{
    Cluster, ConfigDocument, Fields, IdempotentAnswer, Identity, JoinToken, Kind, Lease, Namespace, Peer,
    Record, Revocation, Shard,
};

use super::{Page, Peers, Shards};
use crate::api::{Change, Entry};
use crate::error::StoreError;
use crate::watch::Event;

/// Records of one kind in memory.
pub trait Rows<R>: Default + Send + Sync {
    /// One record.
    fn get(&self, key: &str) -> Option<&R>;
    /// Adds or replaces a record.
    fn put(&mut self, record: R);
    /// Removes a record; nothing happens where there is none.
    fn remove(&mut self, key: &str);
    /// How many there are.
    fn count(&self) -> usize;
}

/// A record that views keep.
pub trait Viewed: Record {
    /// How they keep it.
    type Rows: Rows<Self>;

    /// All of them.
    fn rows(tables: &Tables) -> &Self::Rows;
}

/// Makes [`Tables`]: a kind that views are to keep is a line below.
macro_rules! tables {
    ($($name:ident, $name_mut:ident: $record:ident as $rows:ty;)*) => {
        /// Everything that a view keeps, at one revision.
        #[derive(Debug, Default)]
        pub struct Tables {
            revision: u64,
            settled: u64,
            $($name: $rows,)*
        }

        #[allow(unreachable_patterns, reason = "nothing is passed over where every kind is kept")]
        impl Tables {
            /// The kinds that views keep.
            pub const KINDS: &'static [Kind] = &[$($record::KIND,)*];

            $(
                /// The records of this kind.
                #[must_use]
                pub fn $name(&self) -> &$rows {
                    &self.$name
                }

                #[allow(dead_code, reason = "not every kind is changed but by the store's changes")]
                pub(super) fn $name_mut(&mut self) -> &mut $rows {
                    &mut self.$name
                }
            )*

            /// Adds or replaces a record. Kinds that are not kept are passed over.
            fn put(&mut self, kind: Kind, key: &str, value: &str) -> Result<(), StoreError> {
                match kind {
                    $($record::KIND => self.$name.put(decoded::<$record>(key, value)?),)*
                    _ => {}
                }
                Ok(())
            }

            /// What watchers can filter a record by now; none where it is not there.
            fn fields_of(&self, kind: Kind, key: &str) -> Option<Fields> {
                match kind {
                    $($record::KIND => self.$name.get(key).map(Record::fields),)*
                    _ => None,
                }
            }

            /// What watchers can filter a record by.
            pub(crate) fn fields(kind: Kind, key: &str, value: &str) -> Result<Fields, StoreError> {
                match kind {
                    $($record::KIND => decoded::<$record>(key, value).map(|record| record.fields()),)*
                    _ => Ok(Fields::new()),
                }
            }

            fn remove(&mut self, kind: Kind, key: &str) {
                match kind {
                    $($record::KIND => self.$name.remove(key),)*
                    _ => {}
                }
            }
        }

        $(
            impl Viewed for $record {
                type Rows = $rows;

                fn rows(tables: &Tables) -> &Self::Rows {
                    &tables.$name
                }
            }
        )*
    };
}

tables! {
    peers, peers_mut: Peer as Peers;
    namespaces, namespaces_mut: Namespace as Table<Namespace>;
    shards, shards_mut: Shard as Shards;
    clusters, clusters_mut: Cluster as Table<Cluster>;
    config, config_mut: ConfigDocument as Table<ConfigDocument>;
    join_tokens, join_tokens_mut: JoinToken as Table<JoinToken>;
    identities, identities_mut: Identity as Table<Identity>;
    revocations, revocations_mut: Revocation as Table<Revocation>;
    answers, answers_mut: IdempotentAnswer as Table<IdempotentAnswer>;
    leases, leases_mut: Lease as Table<Lease>;
}

impl Tables {
    /// The revision that these are of.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn load(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.put(entry.kind, &entry.key, &entry.value)
    }

    pub(super) fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match &change.value {
            Some(value) => self.put(change.kind, &change.key, value),
            None => {
                self.remove(change.kind, &change.key);
                Ok(())
            }
        }
    }

    /// Applies a change and makes it the event at `index` of its revision.
    pub(super) fn apply_as_event(&mut self, change: &Change, index: usize) -> Result<Event, StoreError> {
        let before = self.fields_of(change.kind, &change.key);
        self.apply(change)?;
        // A kind that is not kept has no fields, and no view of what it was before.
        let kept = Self::KINDS.contains(&change.kind);
        let after = match &change.value {
            Some(_) if kept => self.fields_of(change.kind, &change.key),
            Some(_) => Some(Fields::new()),
            None => None,
        };
        let before = if kept { before } else { Some(Fields::new()) };
        Ok(Event::new(change.clone(), index, before, after))
    }

    /// The last revision that changed more than leases, or a later one: as long as it stays, so does
    /// everything but leases.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Takes over a revision whose changes were applied.
    pub(super) fn set_revision(&mut self, revision: u64, changes: &[Change]) {
        self.revision = revision;
        // A lease is renewed all the time.
        if !changes.iter().all(|change| change.kind == Kind::Lease) {
            self.settled = revision;
        }
    }

    /// Takes over the revision at which everything was read.
    pub(super) fn loaded(&mut self, revision: u64) {
        (self.revision, self.settled) = (revision, revision);
    }
}

fn decoded<R: Record>(key: &str, value: &str) -> Result<R, StoreError> {
    serde_json::from_str(value)
        .map_err(|error| StoreError::Damaged(format!("{}/{key} cannot be read: {error}", R::KIND)))
}

/// Records of a kind in the order of their keys, without further indexes.
#[derive(Debug)]
pub struct Table<R>(BTreeMap<String, R>);

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R: Record> Rows<R> for Table<R> {
    fn get(&self, key: &str) -> Option<&R> {
        self.0.get(key)
    }

    fn put(&mut self, record: R) {
        self.0.insert(record.key(), record);
    }

    fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<R: Record> Table<R> {
    /// The records in the order of their keys, from the first one behind `after`.
    pub fn after(&self, after: Option<&str>) -> impl Iterator<Item = &R> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range::<str, _>((from, Bound::Unbounded)).map(|(_, record)| record)
    }

    /// At most `limit` records that `wanted` accepts, behind the key `after`.
    pub fn page(
        &self,
        after: Option<&str>,
        limit: u32,
        wanted: impl Fn(&R) -> bool,
        revision: u64,
    ) -> Page<R> {
        page(self.after(after).filter(|record| wanted(record)), limit, revision)
    }
}

/// At most `limit` of `records`, and whether there are more.
pub(super) fn page<'a, R: Clone + 'a>(
    mut records: impl Iterator<Item = &'a R>,
    limit: u32,
    revision: u64,
) -> Page<R> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let items: Vec<R> = records.by_ref().take(limit).cloned().collect();
    Page { items, more: records.next().is_some(), revision }
}
