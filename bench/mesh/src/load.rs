//! A store with a million shards.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use meshkit_model::{Namespace, PeerId, Shard};
use meshkit_store::{Expect, Mutation, Rows as _, ShardQuery, SqliteOptions, SqliteStore, View, Write};
use meshkit_testkit::records::{at, mutation};
use meshkit_testkit::validator::Dice;
use serde_json::json;

use crate::{Outcome, spread, tell};

const OWNERS: u64 = 1_000;

#[derive(Args)]
pub(crate) struct ShardsArgs {
    /// How many shards, in namespaces of 65 536.
    #[arg(long, default_value_t = 1_000_000)]
    shards: u64,
}

#[derive(Args)]
pub(crate) struct StartArgs {
    path: PathBuf,
}

pub(crate) async fn run(args: &ShardsArgs, path: &Path) -> Outcome {
    let store = SqliteStore::open(&SqliteOptions::new(path)).map_err(|error| error.report(false))?;
    let view = View::open(Arc::new(store.clone())).await?;
    let began = Instant::now();
    let mut next = 0;
    while next < args.shards {
        let until = args.shards.min(next + Mutation::MAX_WRITES as u64);
        let writes = (next..until).map(|n| Write::put_fenced(&shard(n)?, Expect::Absent, 0));
        let writes = writes.collect::<Result<Vec<_>, meshkit_model::Invalid>>()?;
        view.commit(mutation(writes)).await?;
        next = until;
    }
    tell(
        &json!({ "figure": "shards written", "count": args.shards, "seconds": began.elapsed().as_secs_f64() }),
    );
    drop(view);
    store.closed().await;
    // A start is measured in a process that did nothing before.
    let done =
        tokio::process::Command::new(std::env::current_exe()?).arg("shards-start").arg(path).status().await?;
    if done.success() { Ok(()) } else { Err("the start failed".into()) }
}

fn shard(n: u64) -> Result<Shard, meshkit_model::Invalid> {
    let namespace = Namespace::new(format!("namespace-{}", n / 65_536), 65_536, "inventory");
    let id = u32::try_from(n % 65_536).unwrap_or_default();
    let owner = Some(PeerId::new(format!("inventory-{}", n % OWNERS))?);
    Ok(Shard { owner, ..Shard::new(&namespace, id, at(1_795_266_437_168)) })
}

pub(crate) async fn start(args: &StartArgs) -> Outcome {
    let began = Instant::now();
    let store = SqliteStore::open(&SqliteOptions::new(&args.path)).map_err(|error| error.report(false))?;
    let opened = began.elapsed();
    let view = View::open(Arc::new(store)).await?;
    let (ready, shards) = (began.elapsed(), view.read().shards().count());
    tell(&json!({
        "figure": "start", "shards": shards, "file_mib": std::fs::metadata(&args.path)?.len() >> 20,
        "opened_s": opened.as_secs_f64(), "ready_s": ready.as_secs_f64(), "memory": memory()?,
    }));
    let mut dice = Dice(3);
    let (mut pages, mut owned, mut lookups) = (Vec::new(), Vec::new(), Vec::new());
    for _page in 0..5_000 {
        let n = dice.roll(shards as u64);
        let place = (format!("namespace-{}", n / 65_536), u32::try_from(n % 65_536)?);
        let query = ShardQuery { after: Some(place.clone()), limit: 1_000, ..ShardQuery::default() };
        let began = Instant::now();
        std::hint::black_box(view.shards(&query));
        pages.push(began.elapsed());
        let owner = Some(format!("inventory-{}", dice.roll(OWNERS)));
        let query = ShardQuery { owner, limit: 1_000, ..ShardQuery::default() };
        let began = Instant::now();
        std::hint::black_box(view.shards(&query));
        owned.push(began.elapsed());
        let began = Instant::now();
        std::hint::black_box(view.read().shards().at(&place.0, place.1).cloned());
        lookups.push(began.elapsed());
    }
    tell(&json!({ "figure": "page of 1000 shards", "time": spread(pages) }));
    tell(&json!({ "figure": "page of an owner's shards", "time": spread(owned) }));
    tell(&json!({ "figure": "lookup of a shard", "time": spread(lookups) }));
    Ok(())
}

/// What the process holds now and held at most, in MiB.
fn memory() -> Result<serde_json::Value, std::io::Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches(':').trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() >> 10
    };
    Ok(json!({ "resident_mib": of("VmRSS"), "peak_mib": of("VmHWM") }))
}
