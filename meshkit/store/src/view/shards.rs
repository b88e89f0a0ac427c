//! Shards in memory: by place and by owner. A million of them have to fit, so a shard stands here
//! once and the index holds its place alone.
//!
//! Those of a namespace stand in chunks that are shared: whoever needs all of them takes a copy of the few
//! pointers to chunks, and reads it without keeping a writer waiting. A writer copies the one chunk that
//! it changes where somebody still reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use meshkit_model::{PeerId, Shard, ShardStatus};

use super::Page;
use super::tables::{Rows, page};

/// Shards of a chunk.
const CHUNK: usize = 256;

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

/// The shards of one namespace at one revision. Cloning copies a pointer for every 256 of them.
#[derive(Clone, Debug, Default)]
pub struct NamespaceShards {
    chunks: Vec<Arc<Vec<Option<Arc<Shard>>>>>,
    count: usize,
    generation: u64,
}

impl NamespaceShards {
    /// One shard.
    #[must_use]
    pub fn at(&self, id: u32) -> Option<&Arc<Shard>> {
        let (chunk, slot) = slot(id);
        self.chunks.get(chunk)?.get(slot)?.as_ref()
    }

    /// All of them by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.from(0)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Another number after every change of any of them.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Those from an id on.
    pub fn from(&self, id: u32) -> impl Iterator<Item = &Arc<Shard>> {
        let (chunk, slot) = slot(id);
        let skipped = move |at: usize| if at == 0 { slot } else { 0 };
        let chunks = self.chunks.iter().skip(chunk).enumerate();
        chunks.flat_map(move |(at, chunk)| chunk.iter().skip(skipped(at)).flatten())
    }

    /// Sets what stands in a place, and gives what stood there.
    fn set(&mut self, id: u32, shard: Option<Arc<Shard>>) -> Option<Arc<Shard>> {
        let (at, slot) = slot(id);
        while self.chunks.len() <= at {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(self.chunks.get_mut(at)?);
        if chunk.len() <= slot {
            chunk.resize(slot + 1, None);
        }
        let is_there = shard.is_some();
        let known = std::mem::replace(chunk.get_mut(slot)?, shard);
        self.count = self.count + usize::from(is_there) - usize::from(known.is_some());
        known
    }
}

fn slot(id: u32) -> (usize, usize) {
    (id as usize / CHUNK, id as usize % CHUNK)
}

/// All shards.
#[derive(Debug, Default)]
pub struct Shards {
    namespaces: BTreeMap<Arc<str>, NamespaceShards>,
    /// The places of an owner's shards; an empty text owns those without one.
    by_owner: BTreeMap<Box<str>, BTreeSet<Place>>,
    count: usize,
    generation: u64,
}

impl Rows<Shard> for Shards {
    fn get(&self, key: &str) -> Option<&Shard> {
        let (namespace, id) = Shard::place_of(key)?;
        self.at(namespace, id).map(|shard| &**shard)
    }

    fn put(&mut self, shard: Shard) {
        let namespace = match self.namespaces.get_key_value(shard.namespace.as_str()) {
            Some((namespace, _)) => Arc::clone(namespace),
            None => shard.namespace.as_str().into(),
        };
        let (id, shard) = (shard.id, Arc::new(shard));
        let shards = self.namespaces.entry(Arc::clone(&namespace)).or_default();
        self.generation += 1;
        shards.generation = self.generation;
        match shards.set(id, Some(Arc::clone(&shard))) {
            Some(known) if owner_of(&known) == owner_of(&shard) => return,
            Some(known) => self.disown(&known),
            None => self.count += 1,
        }
        let owner = owner_of(&shard);
        match self.by_owner.get_mut(owner) {
            Some(places) => {
                places.insert((namespace, id));
            }
            None => {
                self.by_owner.insert(owner.into(), BTreeSet::from([(namespace, id)]));
            }
        }
    }

    fn remove(&mut self, key: &str) {
        let Some((namespace, id)) = Shard::place_of(key) else { return };
        let Some(shards) = self.namespaces.get_mut(namespace) else { return };
        let Some(known) = shards.set(id, None) else { return };
        self.generation += 1;
        shards.generation = self.generation;
        if shards.count == 0 {
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
    pub fn at(&self, namespace: &str, id: u32) -> Option<&Arc<Shard>> {
        self.namespaces.get(namespace)?.at(id)
    }

    /// The shards of one namespace, to be read without holding the view.
    #[must_use]
    pub fn of(&self, namespace: &str) -> NamespaceShards {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// The namespaces that have shards.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, &NamespaceShards)> {
        self.namespaces.iter()
    }

    /// All shards in the order of namespace and id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.namespaces.values().flat_map(NamespaceShards::iter)
    }

    /// How many shards an owner has; an empty text asks for those without one.
    #[must_use]
    pub fn count_by_owner(&self, owner: &str) -> usize {
        self.by_owner.get(owner).map_or(0, BTreeSet::len)
    }

    /// The shards that a query asks for, in the order of namespace and id.
    #[must_use]
    pub fn page(&self, query: &ShardQuery, revision: u64) -> Page<Arc<Shard>> {
        let Some(owner) = &query.owner else {
            let shards = self.after(query).filter(|shard| query.matches(shard));
            return page(shards, query.limit, revision);
        };
        let Some(places) = self.by_owner.get(owner.as_str()) else {
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
    fn after<'a>(&'a self, query: &'a ShardQuery) -> impl Iterator<Item = &'a Arc<Shard>> {
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
                    Some((after, id)) if after == &**namespace => id.saturating_add(1),
                    _ => 0,
                };
                shards.from(from)
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
