//! Placement of many shards among many nodes, from nothing and after a change of nodes.

use std::hint::black_box;
use std::time::Instant;

use clap::Args;
use meshkit_model::placement::{Node, Placed, Takes, place};
use meshkit_model::{Namespace, PeerId, Strategy};
use serde_json::json;

use crate::{Outcome, tell};

#[derive(Args)]
pub(crate) struct PlacementArgs {
    /// How many shards; those of several namespaces together.
    #[arg(long, default_value_t = 100_000)]
    shards: u32,
    /// How many nodes.
    #[arg(long, default_value_t = 1_000)]
    nodes: u32,
    /// How many of them go, and how many others come, in a simulation.
    #[arg(long, default_value_t = 10)]
    changed: u32,
}

pub(crate) fn run(args: &PlacementArgs) -> Outcome {
    let node = |n: u32| {
        let id = PeerId::new(format!("inventory-{n:05}"))?;
        let takes = Takes::Share;
        Ok::<_, meshkit_model::Invalid>(Node {
            id,
            zone: format!("zone-{}", n % 3),
            weight: 1 + n % 4,
            takes,
        })
    };
    let before = (0..args.nodes).map(node).collect::<Result<Vec<_>, _>>()?;
    let after = (args.changed..args.nodes + args.changed).map(node).collect::<Result<Vec<_>, _>>()?;
    for strategy in Strategy::ALL {
        let zones = match strategy {
            Strategy::LocalityAware => vec!["zone-0".to_owned(), "zone-1".to_owned()],
            _ => Vec::new(),
        };
        let namespace = Namespace { strategy, zones, ..Namespace::new("stock", args.shards, "inventory") };
        let began = Instant::now();
        let owners = place(&namespace, &before, &vec![Placed::default(); args.shards as usize]);
        let first = began.elapsed();
        let went = args.changed as usize;
        let placed: Vec<Placed> = owners
            .iter()
            .map(|owner| Placed { owner: owner.and_then(|at| at.checked_sub(went)), stays: false })
            .collect();
        let began = Instant::now();
        let then = place(&namespace, &after, &placed);
        let simulated = began.elapsed();
        let moved = then.iter().zip(&placed).filter(|(then, placed)| **then != placed.owner).count();
        black_box(then);
        tell(&json!({
            "figure": "placement", "strategy": strategy.as_str(), "shards": args.shards, "nodes": args.nodes,
            "first_ms": first.as_secs_f64() * 1e3, "simulated_ms": simulated.as_secs_f64() * 1e3, "moved": moved,
        }));
    }
    Ok(())
}
