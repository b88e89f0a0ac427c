//! Durable writes a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use meshkit_store::{Expect, View};
use meshkit_testkit::records::{mutation, peer, put};
use serde_json::json;

use crate::{Outcome, spread, tell};

#[derive(Args)]
pub(crate) struct WritesArgs {
    /// How long, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Writers at once; several figures are taken with commas.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    writers: Vec<u64>,
}

pub(crate) async fn run(args: &WritesArgs, view: &View) -> Outcome {
    for (round, writers) in args.writers.iter().enumerate() {
        let next = Arc::new(AtomicU64::new(0));
        let began = Instant::now();
        let until = began + Duration::from_secs(args.seconds);
        let tasks: Vec<_> = (0..*writers)
            .map(|_| {
                let (view, next) = (view.clone(), Arc::clone(&next));
                omnirelay_runtime::spawn("writer", async move {
                    let mut times = Vec::new();
                    while Instant::now() < until {
                        let name = format!("r{round}-{}", next.fetch_add(1, Ordering::Relaxed));
                        let write = put(&peer(&name), Expect::Absent);
                        let began = Instant::now();
                        view.commit(mutation(vec![write])).await?;
                        times.push(began.elapsed());
                    }
                    Ok::<_, meshkit_store::StoreError>(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        let rate = times.len() as f64 / began.elapsed().as_secs_f64();
        tell(
            &json!({ "figure": "durable writes", "writers": writers, "per_second": rate.round(), "time": spread(times) }),
        );
    }
    Ok(())
}
