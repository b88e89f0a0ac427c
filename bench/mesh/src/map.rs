//! The SDK's map of shards: lookups by key, and a difference applied to it.

use std::hint::black_box;
use std::time::Instant;

use clap::Args;
use meshkit_client::{ShardMap, v1};
use meshkit_testkit::validator::Dice;
use serde_json::json;
use v1::{OwnershipPhase, WatchEventType};

use crate::{Outcome, spread, tell};

/// Shards of a namespace.
const SIZE: u64 = 65_536;
const LOOKUPS: u32 = 10_000_000;

#[derive(Args)]
pub(crate) struct MapArgs {
    /// How many shards, in namespaces of 65 536.
    #[arg(long, default_value_t = 1_000_000)]
    shards: u64,
    /// How many differences of 1 % are applied.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
}

fn shard(n: u64, version: u64) -> v1::Shard {
    v1::Shard {
        shard_namespace: format!("namespace-{}", n / SIZE),
        id: u32::try_from(n % SIZE).unwrap_or_default(),
        owner: format!("inventory-{}", (n + version) % 1_000),
        phase: OwnershipPhase::Active.into(),
        fence: version,
        record_version: version,
        checksum: n,
        ..v1::Shard::default()
    }
}

pub(crate) fn run(args: &MapArgs) -> Outcome {
    let map = ShardMap::new();
    let all: Vec<v1::Shard> = (0..args.shards).map(|n| shard(n, 1)).collect();
    let checksum = all.iter().fold(0, |sum, shard| sum ^ shard.checksum);
    let began = Instant::now();
    for part in all.chunks(1_000) {
        map.apply(&v1::WatchShardsResponse { snapshot: part.to_vec(), ..Default::default() })?;
    }
    let size = |n: u64| v1::NamespaceSize { name: format!("namespace-{n}"), shards: 65_536 };
    let complete = v1::SnapshotComplete {
        revision: 1,
        shards: args.shards,
        checksum,
        namespaces: (0..args.shards.div_ceil(SIZE)).map(size).collect(),
    };
    map.apply(&v1::WatchShardsResponse { complete: Some(complete), ..Default::default() })?;
    tell(&json!({ "figure": "snapshot", "shards": args.shards, "ms": began.elapsed().as_secs_f64() * 1e3 }));
    drop(all);

    let mut dice = Dice(7);
    let mut times = Vec::new();
    for round in 0..args.rounds {
        let change = |_| {
            let shard = shard(dice.roll(args.shards), round + 2);
            let key = format!("{}/{}", shard.shard_namespace, shard.id);
            let r#type = WatchEventType::Put.into();
            let event = v1::WatchEvent { r#type, key, revision: round + 2, ..Default::default() };
            v1::WatchShardsResponse { event: Some(event), shard: Some(shard), ..Default::default() }
        };
        let difference: Vec<_> = (0..args.shards / 100).map(change).collect();
        let began = Instant::now();
        for message in &difference {
            map.apply(message)?;
        }
        times.push(began.elapsed());
    }
    tell(&json!({ "figure": "difference of 1 %", "shards": args.shards, "time": spread(times) }));

    let keys: Vec<String> = (0..4_096).map(|n| format!("order-{n}")).collect();
    let began = Instant::now();
    for n in 0..LOOKUPS {
        let key = keys.get(n as usize % keys.len()).map_or("", String::as_str);
        black_box(map.lookup("namespace-3", black_box(key.as_bytes())));
    }
    let each = began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS);
    tell(&json!({ "figure": "lookup by key", "shards": args.shards, "ns": each }));
    Ok(())
}
