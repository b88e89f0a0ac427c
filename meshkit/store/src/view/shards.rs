//! Shards in memory: by place and by owner. A million of them have to fit, so a shard stands here
//! once and the index holds its place alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use meshkit_model::{PeerId, Shard, ShardStatus};

use super::Page;
use super::tables::{Rows, page};

/// Which shards to list; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardQuery {
    /// Exactly this namespace.
    pub namespace: Option<String>,
    /// Exactly this owner; an empty text asks for shards without one.
    pub owner: Option<String>,
    /// Exactly this status.
    pub status: Option<ShardStatus>,
    /// Only shards after this namespace and id.
    pub after: Option<(String, u32)>,
    /// The most shards of the page.
    pub limit: u32,
}

impl ShardQuery {
    /// Whether a shard is one that the query asks for, its place and the limit aside.
    #[must_use]
    pub fn matches(&self, shard: &Shard) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == shard.namespace)
            && self.owner.as_deref().is_none_or(|owner| owner == owner_of(shard))
            && self.status.is_none_or(|status| status == shard.status)
    }
}

type Place = (Arc<str>, u32);

/// All shards.
#[derive(Debug, Default)]
pub struct Shards {
    namespaces: BTreeMap<Arc<str>, BTreeMap<u32, Shard>>,
    /// The places of an owner's shards; an empty text owns those without one.
    by_owner: BTreeMap<String, BTreeSet<Place>>,
    count: usize,
}

impl Rows<Shard> for Shards {
    fn get(&self, key: &str) -> Option<&Shard> {
        let (namespace, id) = Shard::place_of(key)?;
        self.at(namespace, id)
    }

    fn put(&mut self, shard: Shard) {
        let namespace = match self.namespaces.get_key_value(shard.namespace.as_str()) {
            Some((namespace, _)) => Arc::clone(namespace),
            None => shard.namespace.as_str().into(),
        };
        let (id, owner) = (shard.id, owner_of(&shard).to_owned());
        let shards = self.namespaces.entry(Arc::clone(&namespace)).or_default();
        match shards.insert(id, shard) {
            Some(known) if owner_of(&known) == owner => return,
            Some(known) => self.disown(&known),
            None => self.count += 1,
        }
        self.by_owner.entry(owner).or_default().insert((namespace, id));
    }

    fn remove(&mut self, key: &str) {
        let Some((namespace, id)) = Shard::place_of(key) else { return };
        let Some(shards) = self.namespaces.get_mut(namespace) else { return };
        let Some(known) = shards.remove(&id) else { return };
        if shards.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.count -= 1;
        self.disown(&known);
    }

    fn count(&self) -> usize {
        self.count
    }
}

impl Shards {
    /// One shard.
    #[must_use]
    pub fn at(&self, namespace: &str, id: u32) -> Option<&Shard> {
        self.namespaces.get(namespace)?.get(&id)
    }

    /// All shards in the order of namespace and id.
    pub fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.namespaces.values().flat_map(BTreeMap::values)
    }

    /// How many shards an owner has; an empty text asks for those without one.
    #[must_use]
    pub fn count_by_owner(&self, owner: &str) -> usize {
        self.by_owner.get(owner).map_or(0, BTreeSet::len)
    }

    /// The shards that a query asks for, in the order of namespace and id.
    #[must_use]
    pub fn page(&self, query: &ShardQuery, revision: u64) -> Page<Shard> {
        let Some(owner) = &query.owner else {
            let shards = self.after(query).filter(|shard| query.matches(shard));
            return page(shards, query.limit, revision);
        };
        let Some(places) = self.by_owner.get(owner) else {
            return page(std::iter::empty(), query.limit, revision);
        };
        // A namespace alone begins before its first shard.
        let from = match (&query.after, &query.namespace) {
            (Some((namespace, id)), _) => Bound::Excluded((Arc::from(namespace.as_str()), *id)),
            (None, Some(namespace)) => Bound::Included((Arc::from(namespace.as_str()), 0)),
            (None, None) => Bound::Unbounded,
        };
        let shards = places
            .range((from, Bound::Unbounded))
            .take_while(|(namespace, _)| query.namespace.as_deref().is_none_or(|n| n == &**namespace))
            .filter_map(|(namespace, id)| self.at(namespace, *id));
        page(shards.filter(|shard| query.matches(shard)), query.limit, revision)
    }

    /// The shards of the asked namespaces from where the query begins.
    fn after<'a>(&'a self, query: &'a ShardQuery) -> impl Iterator<Item = &'a Shard> {
        let after = query.after.as_ref().map(|(namespace, id)| (namespace.as_str(), *id));
        let first = after.map(|(namespace, _)| namespace);
        let only = query.namespace.as_deref();
        let from = match first.max(only) {
            Some(namespace) => Bound::Included(namespace),
            None => Bound::Unbounded,
        };
        self.namespaces
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(namespace, _)| only.is_none_or(|only| only == &***namespace))
            .flat_map(move |(namespace, shards)| {
                let from = match after {
                    Some((after, id)) if after == &**namespace => Bound::Excluded(id),
                    _ => Bound::Unbounded,
                };
                shards.range((from, Bound::Unbounded)).map(|(_, shard)| shard)
            })
    }

    fn disown(&mut self, shard: &Shard) {
        let owner = owner_of(shard);
        if let Some(places) = self.by_owner.get_mut(owner) {
            places.remove(&(Arc::from(shard.namespace.as_str()), shard.id));
            if places.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }
}

fn owner_of(shard: &Shard) -> &str {
    shard.owner.as_ref().map_or("", PeerId::as_str)
}
