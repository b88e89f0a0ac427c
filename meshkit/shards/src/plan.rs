//! Who should own what: from a namespace, its peers and its shards as they are to the changes that
//! take each shard one step to where it belongs.

use std::collections::HashMap;

use meshkit_model::lifecycle::{Hold, direct};
use meshkit_model::placement::{Node, Placed, Takes, place, standbys};
use meshkit_model::{Handover, Namespace, PeerId, Phase, Shard, Timestamp};
use meshkit_store::NamespaceShards;

/// One record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The shard as it should be.
    pub(crate) shard: Shard,
    /// The shard as it was; none where it is new.
    pub(crate) before: Option<Before>,
}

/// What the writer saw, for the store to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// The record's version.
    pub(crate) version: u64,
    /// Its fence.
    pub(crate) fence: u64,
    /// Whether its owner is another one now.
    pub(crate) moves: bool,
}

/// What a plan stands on, beside the shards.
pub(crate) struct Ground<'a> {
    pub(crate) now: Timestamp,
    pub(crate) namespace: &'a Namespace,
    /// The peers that can own its shards, in the order of their ids.
    pub(crate) nodes: &'a [Node],
    /// The fence of new shards: above that of any shard that had their place before.
    pub(crate) fence: u64,
}

/// The changes that take shards one step further; none where they are where they belong.
///
/// The outcome depends on the arguments alone. Every change of owner makes the fence one more than it was.
/// Pinned shards go to their peer, and paused and disabled ones keep their owner, for as long as those can own and do
/// not leave.
pub(crate) fn plan(
    ground: &Ground<'_>,
    shards: &NamespaceShards,
    hold: impl Fn(&PeerId) -> Hold,
) -> Vec<Change> {
    let placed = placed(ground.namespace, ground.nodes, shards);
    let owners = place(ground.namespace, ground.nodes, &placed);
    let mut kept = standbys(ground.namespace, ground.nodes, &owners).into_iter();
    let name = |at: usize| ground.nodes.get(at).map(|node| node.id.clone());
    let mut changes = Vec::new();
    for (id, owner) in (0..ground.namespace.shards).zip(owners) {
        let standbys: Vec<PeerId> = kept.next().unwrap_or_default().into_iter().filter_map(name).collect();
        let wanted = owner.and_then(|at| ground.nodes.get(at)).map(|node| &node.id);
        changes.extend(match shards.at(id) {
            None => Some(fresh(ground, id, wanted, standbys)),
            Some(shard) => step(ground, shard, wanted, standbys, &hold),
        });
    }
    changes
}

/// Where the shards of a namespace are heading.
pub(crate) fn placed(namespace: &Namespace, nodes: &[Node], shards: &NamespaceShards) -> Vec<Placed> {
    let places: HashMap<&PeerId, usize> = nodes.iter().map(|node| &node.id).zip(0..).collect();
    let find = |peer: Option<&PeerId>| peer.and_then(|peer| places.get(peer)).copied();
    // Whoever leaves gives everything away, also what was bound to it.
    let stays = |at: &usize| nodes.get(*at).is_some_and(|node| node.takes != Takes::Leave);
    let of = |id: u32| {
        let Some(shard) = shards.at(id) else { return Placed::default() };
        if let Some(pinned) = find(shard.pinned.as_ref()).filter(stays) {
            return Placed { owner: Some(pinned), stays: true };
        }
        let owner = find(shard.owner.as_ref());
        if shard.is_held() && owner.is_some_and(|at| stays(&at)) {
            return Placed { owner, stays: true };
        }
        let next = find(shard.successor.as_ref().map(|next| &next.peer));
        Placed { owner: next.or(owner), stays: false }
    };
    (0..namespace.shards).map(of).collect()
}

fn fresh(ground: &Ground<'_>, id: u32, wanted: Option<&PeerId>, standbys: Vec<PeerId>) -> Change {
    let phase = match ground.namespace.handover {
        Handover::Immediate => Phase::Active,
        Handover::Acknowledged => Phase::Assigned,
    };
    let shard = Shard {
        owner: wanted.cloned(),
        phase,
        standbys,
        fence: ground.fence,
        ..Shard::new(ground.namespace, id, ground.now)
    };
    Change { shard, before: None }
}

fn step(
    ground: &Ground<'_>,
    shard: &Shard,
    wanted: Option<&PeerId>,
    standbys: Vec<PeerId>,
    hold: impl Fn(&PeerId) -> Hold,
) -> Option<Change> {
    let stepped = match ground.namespace.handover {
        Handover::Immediate => at_once(shard, wanted),
        Handover::Acknowledged => direct(shard, wanted, hold, ground.now),
    };
    let strategy = ground.namespace.strategy;
    if stepped.is_none() && shard.standbys == standbys && shard.strategy == strategy {
        return None;
    }
    let next = stepped.unwrap_or_else(|| shard.clone());
    let moves = next.owner != shard.owner;
    let before = Before { version: shard.record_version, fence: shard.fence, moves };
    let shard = Shard { standbys, strategy, changed_at: ground.now, ..next };
    Some(Change { shard, before: Some(before) })
}

fn at_once(shard: &Shard, wanted: Option<&PeerId>) -> Option<Shard> {
    let is_there = shard.owner.as_ref() == wanted;
    if is_there && shard.phase == Phase::Active && shard.successor.is_none() {
        return None;
    }
    Some(Shard {
        owner: wanted.cloned(),
        phase: Phase::Active,
        successor: None,
        fence: shard.fence + u64::from(!is_there),
        ..shard.clone()
    })
}

#[cfg(test)]
mod tests;
