//! A change until the last watcher has it.

use std::time::{Duration, Instant};

use clap::Args;
use meshkit_model::Kind;
use meshkit_store::{Expect, Filter, Form, Start, Told, View};
use meshkit_testkit::records::{mutation, peer, put};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{Outcome, spread, tell};

#[derive(Args)]
pub(crate) struct WatchersArgs {
    /// How many watch.
    #[arg(long, default_value_t = 10_000)]
    watchers: u64,
    /// How many changes, one after another.
    #[arg(long, default_value_t = 100)]
    changes: u64,
    /// How many different filters they have.
    #[arg(long, default_value_t = 1)]
    filters: u64,
}

pub(crate) async fn run(args: &WatchersArgs, view: &View) -> Outcome {
    let (tell_time, mut times) = mpsc::unbounded_channel::<Instant>();
    let (ready, mut is_ready) = mpsc::unbounded_channel::<()>();
    let mut tasks = Vec::new();
    for n in 0..args.watchers {
        let filter = Filter::of([Kind::Peer]);
        let filter = match args.filters {
            1 => filter,
            // The same field again and again is another filter that asks for the same.
            filters => (0..n % filters).fold(filter, |filter, _| filter.field("service", "greeter")),
        };
        let mut watch = view.watch(filter, &Start::Now, Duration::from_secs(3_600))?;
        let (tell_time, ready) = (tell_time.clone(), ready.clone());
        tasks.push(omnirelay_runtime::spawn("watcher", async move {
            while let Ok(Some(told)) = watch.next().await {
                match told {
                    Told::Event { event, .. } => {
                        let encode = |event: &meshkit_store::Event| {
                            event.change().value.as_deref().unwrap_or_default().as_bytes().to_vec().into()
                        };
                        std::hint::black_box((event.encoded(Form::Json, encode), watch.token()));
                        let _gone = tell_time.send(Instant::now());
                    }
                    Told::Bookmark(_) => {
                        let _gone = ready.send(());
                    }
                    Told::ResyncRequired { .. } => return,
                }
            }
        }));
    }
    for _ready in 0..args.watchers {
        is_ready.recv().await;
    }
    let (mut each, mut last) = (Vec::new(), Vec::new());
    for n in 0..args.changes {
        let began = Instant::now();
        view.commit(mutation(vec![put(&peer(&format!("p{n}")), Expect::Absent)])).await?;
        let mut slowest = Duration::ZERO;
        for _watcher in 0..args.watchers {
            let Some(at) = times.recv().await else { break };
            let time = at.duration_since(began);
            each.push(time);
            slowest = slowest.max(time);
        }
        last.push(slowest);
    }
    for task in tasks {
        task.abort();
    }
    tell(&json!({
        "figure": "change to watchers", "watchers": args.watchers, "filters": args.filters,
        "each": spread(each), "last": spread(last),
    }));
    Ok(())
}
