//! Who should own what: from peers, namespaces and shards as they are to the changes that make
//! every shard's owner the one that rendezvous names.

use std::collections::BTreeMap;

use meshkit_model::placement::Candidates;
use meshkit_model::{HoldState, Namespace, PeerId, PeerStatus, Shard, ShardStatus, Timestamp};

/// What the plan has to know of a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its name.
    pub id: PeerId,
    /// The service it serves.
    pub service: String,
    /// How the mesh sees it. Suspect peers keep their place, so that a hiccup moves nothing.
    pub status: PeerStatus,
    /// How far an operator holds it back.
    pub hold: Option<HoldState>,
}

/// One record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The shard as it should be.
    pub shard: Shard,
    /// The shard as it was; none where it is new.
    pub before: Option<Before>,
}

/// What the writer saw, for the store to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// The record's version.
    pub version: u64,
    /// Its fence.
    pub fence: u64,
}

/// The changes that take `shards` to where they should be; none where they are there.
///
/// The outcome depends on the arguments alone. `now` becomes the time of the changes. Every change
/// of owner makes the fence one more than it was. Paused and disabled shards keep their owner for
/// as long as it lives: an operator stopped them where they are. A cordoned peer keeps what it has and
/// gets nothing, one that drains gives all away. Shards of namespaces that are not
/// named are left alone.
#[must_use]
pub fn plan(now: Timestamp, members: &[Member], namespaces: &[Namespace], shards: &[Shard]) -> Vec<Change> {
    let mut known: BTreeMap<(&str, u32), &Shard> = BTreeMap::new();
    for shard in shards {
        known.insert((&shard.namespace, shard.id), shard);
    }
    let mut changes = Vec::new();
    for namespace in namespaces {
        let living: Vec<&Member> = members
            .iter()
            .filter(|member| member.service == namespace.service && member.status.may_own())
            .collect();
        let candidates = Candidates::new(takers(&living));
        let living: BTreeMap<&PeerId, &Member> = living.into_iter().map(|m| (&m.id, m)).collect();
        for id in 0..namespace.shards {
            let wanted = candidates.owner(&namespace.name, id);
            match known.get(&(namespace.name.as_str(), id)) {
                None => changes.push(Change { shard: new_shard(now, namespace, id, wanted), before: None }),
                Some(shard) => {
                    let owner = shard.owner.as_ref().and_then(|owner| living.get(owner));
                    let is_held = matches!(shard.status, ShardStatus::Paused | ShardStatus::Disabled);
                    let stays = owner.is_some_and(|o| is_held || o.hold == Some(HoldState::Cordoned));
                    if shard.owner.as_ref() != wanted && !stays {
                        changes.push(moved(now, shard, wanted));
                    }
                }
            }
        }
    }
    changes
}

/// Who takes shards: those whom nobody holds back. Where there are none the cordoned ones, and at
/// last those that drain: a drain moves shards, it never leaves one without an owner.
fn takers<'a>(living: &[&'a Member]) -> Vec<&'a PeerId> {
    let free = |member: &Member| member.hold.is_none();
    let keeping = |member: &Member| member.hold.is_none_or(HoldState::keeps_shards);
    let any = |_: &Member| true;
    for admits in [&free as &dyn Fn(&Member) -> bool, &keeping, &any] {
        let takers: Vec<_> = living.iter().filter(|member| admits(member)).map(|member| &member.id).collect();
        if !takers.is_empty() {
            return takers;
        }
    }
    Vec::new()
}

fn new_shard(now: Timestamp, namespace: &Namespace, id: u32, owner: Option<&PeerId>) -> Shard {
    Shard {
        namespace: namespace.name.clone(),
        id,
        strategy: namespace.strategy,
        owner: owner.cloned(),
        status: ShardStatus::Active,
        fence: 1,
        record_version: 0,
        changed_at: now,
    }
}

fn moved(now: Timestamp, shard: &Shard, owner: Option<&PeerId>) -> Change {
    Change {
        shard: Shard { owner: owner.cloned(), fence: shard.fence + 1, changed_at: now, ..shard.clone() },
        before: Some(Before { version: shard.record_version, fence: shard.fence }),
    }
}

#[cfg(test)]
mod tests;
