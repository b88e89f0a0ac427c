#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_assume, proptest};
use proptest::strategy::Strategy as _;

use super::*;

fn node(id: u32, zone: u32, weight: u32) -> Node {
    let id = PeerId::new(format!("inventory-{id}")).unwrap();
    Node { id, zone: format!("zone-{zone}"), weight, takes: Takes::Share }
}

fn namespace(strategy: Strategy, shards: u32) -> Namespace {
    let zones = match strategy {
        Strategy::LocalityAware => vec!["zone-0".to_owned(), "zone-1".to_owned()],
        _ => Vec::new(),
    };
    Namespace { strategy, zones, ..Namespace::new("stock", shards, "inventory") }
}

fn empty(shards: u32) -> Vec<Placed> {
    vec![Placed::default(); shards as usize]
}

/// The same shards as other nodes see them: the owner by its place among those, if it is there.
fn seen(owners: &[Option<usize>], from: &[Node], to: &[Node]) -> Vec<Placed> {
    let place = |owner: usize| to.iter().position(|node| node.id == from[owner].id);
    owners.iter().map(|owner| Placed { owner: owner.and_then(place), stays: false }).collect()
}

fn moved(before: &[Option<usize>], from: &[Node], after: &[Option<usize>], to: &[Node]) -> usize {
    let id = |owner: Option<usize>, nodes: &[Node]| owner.map(|at| nodes[at].id.clone());
    before.iter().zip(after).filter(|(before, after)| id(**before, from) != id(**after, to)).count()
}

/// What a node is due of all shards, in shards.
fn share(namespace: &Namespace, nodes: &[Node], node: usize) -> f64 {
    let at_home = |node: &Node| {
        namespace.strategy != Strategy::LocalityAware
            || namespace.zones.contains(&node.zone)
            || !nodes.iter().any(|node| namespace.zones.contains(&node.zone))
    };
    let weight = |node: &Node| match (at_home(node), namespace.strategy.weighs()) {
        (false, _) => 0.0,
        (true, true) => f64::from(node.weight),
        (true, false) => 1.0,
    };
    let all: f64 = nodes.iter().map(weight).sum();
    f64::from(namespace.shards) * weight(&nodes[node]) / all
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    (0..Strategy::ALL.len()).prop_map(|at| Strategy::ALL[at])
}

fn nodes(count: std::ops::Range<usize>) -> impl proptest::strategy::Strategy<Value = Vec<Node>> {
    proptest::collection::btree_map(0_u32..500, (0_u32..3, 1_u32..5), count)
        .prop_map(|nodes| nodes.into_iter().map(|(id, (zone, weight))| node(id, zone, weight)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the strategy: everybody owns its fair share, rounded up or down.
    #[test]
    fn loads_are_fair(strategy in strategies(), shards in 1_u32..600, nodes in nodes(1..20)) {
        let namespace = namespace(strategy, shards);
        let owners = place(&namespace, &nodes, &empty(shards));
        for at in 0..nodes.len() {
            let load = owners.iter().filter(|owner| **owner == Some(at)).count() as f64;
            prop_assert!((load - share(&namespace, &nodes, at)).abs() < 1.0, "{load}");
        }
    }

    /// One node of n joins or leaves: no more than its fair share moves, and 1 % of all shards or one shard.
    #[test]
    fn movement_is_minimal(
        strategy in strategies(),
        shards in 1_u32..600,
        nodes in nodes(2..20),
        which in any::<prop::sample::Index>(),
    ) {
        let namespace = namespace(strategy, shards);
        let all = place(&namespace, &nodes, &empty(shards));
        let which = which.index(nodes.len());
        let mut others = nodes.clone();
        others.remove(which);
        let has_home = |nodes: &[Node]| nodes.iter().any(|node| namespace.zones.contains(&node.zone));
        // The first node at home takes everything, and the last one gives everything up.
        prop_assume!(strategy != Strategy::LocalityAware || has_home(&nodes) == has_home(&others));
        let bound = share(&namespace, &nodes, which) + (f64::from(shards) / 100.0).max(1.0);
        let left = place(&namespace, &others, &seen(&all, &nodes, &others));
        prop_assert!(moved(&all, &nodes, &left, &others) as f64 <= bound, "leaving");
        let joined = place(&namespace, &nodes, &seen(&left, &others, &nodes));
        prop_assert!(moved(&left, &others, &joined, &nodes) as f64 <= bound, "joining");
        let again = place(&namespace, &nodes, &seen(&joined, &nodes, &nodes));
        prop_assert_eq!(joined, again, "a plan is final");
    }

    /// A cordoned node keeps exactly what it has, one that leaves keeps nothing, and nothing is lost.
    #[test]
    fn holds_are_kept(
        strategy in strategies(),
        shards in 1_u32..300,
        mut nodes in nodes(1..12),
        takes in proptest::collection::vec(0_u8..3, 12),
    ) {
        let namespace = namespace(strategy, shards);
        let before = place(&namespace, &nodes, &empty(shards));
        for (node, takes) in nodes.iter_mut().zip(takes) {
            node.takes = [Takes::Share, Takes::Nothing, Takes::Leave][usize::from(takes)];
        }
        let after = place(&namespace, &nodes, &seen(&before, &nodes, &nodes));
        prop_assert!(after.iter().all(Option::is_some), "no shard is lost");
        let others_take = nodes.iter().any(|node| node.takes == Takes::Share);
        for (before, after) in before.iter().zip(&after) {
            let (before, after) = (before.unwrap(), after.unwrap());
            if others_take {
                prop_assert!(nodes[after].takes != Takes::Leave);
                prop_assert!(nodes[before].takes != Takes::Nothing || after == before);
                prop_assert!(nodes[after].takes != Takes::Nothing || after == before);
            }
        }
    }

    /// What is bound to stay stays, whatever its owner's share is.
    #[test]
    fn bound_shards_stay(strategy in strategies(), shards in 1_u32..200, nodes in nodes(1..8), to in any::<prop::sample::Index>()) {
        let namespace = namespace(strategy, shards);
        let to = to.index(nodes.len());
        let mut placed = empty(shards);
        for shard in placed.iter_mut().step_by(2) {
            *shard = Placed { owner: Some(to), stays: true };
        }
        let owners = place(&namespace, &nodes, &placed);
        prop_assert!(owners.iter().step_by(2).all(|owner| *owner == Some(to)));
        prop_assert!(owners.iter().all(Option::is_some));
    }

    /// Replicas are other peers, and stand in other zones as long as there are enough.
    #[test]
    fn replicas_are_spread(strategy in strategies(), nodes in nodes(1..12), replicas in 1_u32..5) {
        let namespace = Namespace { replicas, ..namespace(strategy, 64) };
        let owners = place(&namespace, &nodes, &empty(64));
        let zones: std::collections::BTreeSet<_> = nodes.iter().map(|node| &node.zone).collect();
        for (owner, standbys) in owners.iter().zip(standbys(&namespace, &nodes, &owners)) {
            let mut kept = vec![owner.unwrap()];
            kept.extend(standbys);
            let peers: std::collections::BTreeSet<_> = kept.iter().collect();
            prop_assert_eq!(peers.len(), (replicas as usize).min(nodes.len()));
            let spread: std::collections::BTreeSet<_> = kept.iter().map(|at| &nodes[*at].zone).collect();
            prop_assert_eq!(spread.len(), (replicas as usize).min(zones.len()));
        }
    }
}

#[test]
fn weights_count_where_the_strategy_weighs() {
    let nodes = [node(1, 0, 1), node(2, 0, 3)];
    let loads = |strategy: Strategy| {
        let owners = place(&namespace(strategy, 100), &nodes, &empty(100));
        [0, 1].map(|at| owners.iter().filter(|owner| **owner == Some(at)).count())
    };
    assert_eq!(loads(Strategy::WeightedRendezvous), [25, 75]);
    assert_eq!(loads(Strategy::LocalityAware), [25, 75]);
    assert_eq!(loads(Strategy::Ring), [50, 50]);
}

#[test]
fn locality_prefers_home_and_goes_abroad_where_nobody_is_at_home() {
    let namespace = namespace(Strategy::LocalityAware, 30);
    let nodes = [node(1, 0, 1), node(2, 2, 1), node(3, 2, 1)];
    let owners = place(&namespace, &nodes, &empty(30));
    assert!(owners.iter().all(|owner| *owner == Some(0)));
    let abroad = place(&namespace, &nodes[1..], &empty(30));
    assert!(abroad.iter().all(Option::is_some));
}

#[test]
fn strategies_are_different_and_each_is_what_it_was() {
    let nodes: Vec<Node> = (0..5).map(|id| node(id, 0, 1)).collect();
    let picture = |strategy: Strategy| -> String {
        let owners = place(&namespace(strategy, 40), &nodes, &empty(40));
        owners.iter().map(|owner| owner.unwrap().to_string()).collect()
    };
    let all = Strategy::ALL.map(picture);
    for (at, one) in all.iter().enumerate() {
        // Without weights those two are the same order.
        let alike = all.iter().filter(|other| *other == one).count();
        let weighed = Strategy::ALL[at] != Strategy::Ring && Strategy::ALL[at] != Strategy::Jump;
        assert!(alike == 1 || (weighed && alike <= 3), "{one}");
    }
}
