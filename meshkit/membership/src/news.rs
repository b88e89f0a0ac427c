//! What members say of themselves that changes: how they fare, and how far their views are.
//!
//! It is told beside SWIM and is no part of a member's identity: a probe is for a process, whatever that said
//! last. With it in the identity, many that spoke at once did not answer probes for what they had been.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foca::{BroadcastHandler, Invalidates};
use meshkit_model::PeerId;

use crate::codec::{self, Malformed};
use crate::member::{Health, Member, Word};
use crate::swim::Swim;

/// One word of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: PeerId,
    pub(crate) generation: u64,
    /// Grows with each.
    pub(crate) said: u32,
    pub(crate) health: Health,
    pub(crate) map_version: u64,
}

impl Item {
    pub(crate) fn of(member: &Member) -> Self {
        let Member { id, generation, said, health, map_version, .. } = member.clone();
        Self { id, generation, said, health, map_version }
    }
}

/// The latest word of each. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct News(Arc<Mutex<BTreeMap<PeerId, Item>>>);

impl News {
    /// Takes a word where it is later than what is there; says whether it was.
    pub(crate) fn take(&self, item: Item) -> bool {
        let mut all = self.all();
        let is_full = all.len() > Swim::MAX_MEMBERS;
        match all.entry(item.id.clone()) {
            Entry::Occupied(mut there) => {
                let is_later = (item.generation, item.said) > (there.get().generation, there.get().said);
                if is_later {
                    there.insert(item);
                }
                is_later
            }
            Entry::Vacant(place) if !is_full => {
                place.insert(item);
                true
            }
            Entry::Vacant(_) => false,
        }
    }

    /// A member with its latest word.
    pub(crate) fn overlay(&self, member: &Arc<Member>) -> Arc<Member> {
        let all = self.all();
        let later = all
            .get(&member.id)
            .filter(|item| item.generation == member.generation && item.said > member.said);
        match later {
            None => Arc::clone(member),
            Some(item) => Arc::new(Member {
                said: item.said,
                health: item.health,
                map_version: item.map_version,
                ..Member::clone(member)
            }),
        }
    }

    /// Forgets those who are not wanted.
    pub(crate) fn keep(&self, is_wanted: impl Fn(&PeerId) -> bool) {
        self.all().retain(|id, _| is_wanted(id));
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PeerId, Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose word it is: a later one takes the place of an earlier one that is still being told.
pub(crate) struct Whose(PeerId);

impl Invalidates for Whose {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl BroadcastHandler<Word> for News {
    type Key = Whose;
    type Error = Malformed;

    fn receive_item(&mut self, data: &[u8], _sender: Option<&Word>) -> Result<Option<Whose>, Malformed> {
        let item = codec::item(data)?;
        let whose = Whose(item.id.clone());
        Ok(self.take(item).then_some(whose))
    }
}
