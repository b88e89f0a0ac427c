//! Who is to own each shard, with as few moves as a fair share takes.

use super::preference::Preference;
use crate::namespace::{Namespace, Strategy};
use crate::peer::PeerId;

/// Whether a peer takes shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Takes {
    /// It takes its fair share.
    Share,
    /// It keeps what it has and takes nothing: it is cordoned.
    Nothing,
    /// It gives everything away: it drains or leaves.
    Leave,
}

/// A peer that can own shards of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Its name.
    pub id: PeerId,
    /// Its zone; may be empty.
    pub zone: String,
    /// Its share beside others', 1 or more; strategies without weights take it for 1.
    pub weight: u32,
    /// Whether it takes shards.
    pub takes: Takes,
}

/// A shard as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Its owner among the nodes; none where nobody of them owns it.
    pub owner: Option<usize>,
    /// Whether it stays with that owner whatever its share is: it is pinned, paused or disabled.
    pub stays: bool,
}

/// The owner of each shard, as a place among `nodes`; none where there is no node.
///
/// Every node that takes shards ends with its fair share, rounded up or down: shards by weight, of those that
/// are not bound to stay elsewhere. What moves is what has to: the shards of nodes that are gone or leave, and
/// what others have above their share. So a node that joins or leaves moves at most its own fair share,
/// rounded up. The strategy decides which shards these are and who gets them.
///
/// Where no node takes shards those that only keep them do, and at last those that leave: a shard
/// is never without an owner that could have one. The outcome depends on the arguments alone.
#[must_use]
pub fn place(namespace: &Namespace, nodes: &[Node], shards: &[Placed]) -> Vec<Option<usize>> {
    let takers = takers(namespace, nodes);
    let is_taker = |node: usize| takers.binary_search(&node).is_ok();
    let keeps = |node: usize| nodes.get(node).is_some_and(|node| node.takes == Takes::Nothing);
    let mut owners = vec![None; shards.len()];
    let mut owned: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    let mut bound = vec![0_usize; nodes.len()];
    let mut homeless = Vec::new();
    for (id, shard) in (0_u32..).zip(shards) {
        let home = shard.owner.filter(|owner| *owner < nodes.len());
        match home {
            Some(owner) if shard.stays || (keeps(owner) && !is_taker(owner)) => {
                set(&mut owners, id, owner);
                bound[owner] += 1;
            }
            Some(owner) if is_taker(owner) => owned[owner].push(id),
            _ => homeless.push(id),
        }
    }
    if takers.is_empty() {
        return owners;
    }
    let load: Vec<usize> = owned.iter().zip(&bound).map(|(owned, bound)| owned.len() + bound).collect();
    let shares = shares(namespace, nodes, &takers, &bound, &load, shards.len());
    let preference = Preference::new(namespace, nodes);
    let mut room: Vec<(usize, usize)> = Vec::new();
    for (&node, &share) in takers.iter().zip(&shares) {
        if share > load[node] {
            room.push((node, share - load[node]));
        }
    }
    for (&node, &share) in takers.iter().zip(&shares) {
        let mut own = std::mem::take(&mut owned[node]);
        let above = load[node].saturating_sub(share).min(own.len());
        if above > 0 {
            // Those go that somebody else wants most.
            let wanted = |id: &u32| {
                let preferred = preference.of(*id);
                room.iter().map(|(node, _)| preferred.score(*node)).max()
            };
            own.sort_by_cached_key(|id| std::cmp::Reverse(wanted(id)));
            homeless.extend(own.drain(..above));
        }
        own.into_iter().for_each(|id| set(&mut owners, id, node));
    }
    homeless.sort_unstable();
    for id in homeless {
        let best = preference.of(id).best(room.iter().map(|(node, _)| *node));
        // There is room for all: the shares add up to the shards, and nobody has less than it keeps.
        let Some(at) = best.and_then(|best| room.iter().position(|(node, _)| *node == best)) else {
            continue;
        };
        set(&mut owners, id, room[at].0);
        room[at].1 -= 1;
        if room[at].1 == 0 {
            // The order among equals is that of the nodes.
            room.remove(at);
        }
    }
    owners
}

fn set(owners: &mut [Option<usize>], id: u32, owner: usize) {
    if let Some(place) = owners.get_mut(id as usize) {
        *place = Some(owner);
    }
}

/// Who takes shards, in ascending order.
fn takers(namespace: &Namespace, nodes: &[Node]) -> Vec<usize> {
    let all = |takes: Takes| -> Vec<usize> {
        (0..nodes.len()).filter(|at| nodes.get(*at).is_some_and(|node| node.takes <= takes)).collect()
    };
    let mut takers = [Takes::Share, Takes::Nothing, Takes::Leave].into_iter().map(all);
    let takers = takers.find(|takers| !takers.is_empty()).unwrap_or_default();
    if namespace.strategy != Strategy::LocalityAware {
        return takers;
    }
    let at_home = |at: &usize| nodes.get(*at).is_some_and(|node| namespace.zones.contains(&node.zone));
    let home: Vec<usize> = takers.iter().copied().filter(at_home).collect();
    if home.is_empty() { takers } else { home }
}

/// How many shards each taker is to own: its share rounded down, and one more for as many as it takes, first
/// for those that have it already.
fn shares(
    namespace: &Namespace,
    nodes: &[Node],
    takers: &[usize],
    bound: &[usize],
    load: &[usize],
    shards: usize,
) -> Vec<usize> {
    let weight = |node: usize| match namespace.strategy.weighs() {
        true => nodes.get(node).map_or(1, |node| u128::from(node.weight.max(1))),
        false => 1,
    };
    let elsewhere: usize =
        (0..nodes.len()).filter(|node| takers.binary_search(node).is_err()).map(|node| bound[node]).sum();
    let total = (shards - elsewhere) as u128;
    let weights: u128 = takers.iter().map(|node| weight(*node)).sum();
    let exact = |node: usize| total * weight(node);
    let mut shares: Vec<usize> =
        takers.iter().map(|node| usize::try_from(exact(*node) / weights).unwrap_or(0)).collect();
    let left = (shards - elsewhere).saturating_sub(shares.iter().sum());
    let mut order: Vec<usize> = (0..takers.len()).collect();
    order.sort_by_key(|&at| {
        let node = takers[at];
        let has_it = load[node] > shares[at];
        (!has_it, std::cmp::Reverse(exact(node) % weights), &nodes[node].id)
    });
    for at in order.into_iter().take(left) {
        shares[at] += 1;
    }
    shares
}

/// The peers that keep a shard beside its owner, best first: as many as the namespace wants and there are. With
/// `spread_zones` one of a zone that none of them has comes before any other. Peers that leave keep nothing.
#[must_use]
pub fn standbys(namespace: &Namespace, nodes: &[Node], owners: &[Option<usize>]) -> Vec<Vec<usize>> {
    let wanted = namespace.replicas.saturating_sub(1) as usize;
    if wanted == 0 {
        return vec![Vec::new(); owners.len()];
    }
    let preference = Preference::new(namespace, nodes);
    let can: Vec<usize> =
        (0..nodes.len()).filter(|at| nodes.get(*at).is_some_and(|node| node.takes != Takes::Leave)).collect();
    let of = |(id, owner): (u32, &Option<usize>)| {
        let Some(owner) = *owner else { return Vec::new() };
        let preferred = preference.of(id);
        let mut kept = vec![owner];
        while kept.len() <= wanted {
            let zone_is_new = |at: &usize| !kept.iter().any(|kept| nodes[*kept].zone == nodes[*at].zone);
            let others = || can.iter().copied().filter(|at| !kept.contains(at));
            let spread = || preferred.best(others().filter(zone_is_new));
            let next = if namespace.spread_zones { spread() } else { None };
            match next.or_else(|| preferred.best(others())) {
                Some(next) => kept.push(next),
                None => break,
            }
        }
        kept.split_off(1)
    };
    (0_u32..).zip(owners).map(of).collect()
}

#[cfg(test)]
mod tests;
