//! Pages of peers while somebody writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use meshkit_store::{Expect, PeerQuery, View};
use meshkit_testkit::records::{mutation, peer, put};
use meshkit_testkit::validator::Dice;
use serde_json::json;

use crate::{Outcome, spread, tell};

#[derive(Args)]
pub(crate) struct PeersArgs {
    /// How many peers.
    #[arg(long, default_value_t = 10_000)]
    peers: u64,
    /// How many pages.
    #[arg(long, default_value_t = 2_000)]
    pages: u64,
}

pub(crate) async fn run(args: &PeersArgs, view: &View) -> Outcome {
    let all: Vec<_> = (0..args.peers).collect();
    for some in all.chunks(1_000) {
        let writes = some.iter().map(|n| put(&peer(&format!("peer-{n:06}")), Expect::Absent)).collect();
        view.commit(mutation(writes)).await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = omnirelay_runtime::spawn("writer", {
        let (view, stop) = (view.clone(), Arc::clone(&stop));
        async move {
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let write = put(&peer(&format!("extra-{n}")), Expect::Absent);
                view.commit(mutation(vec![write])).await?;
                n += 1;
            }
            Ok::<_, meshkit_store::StoreError>(n)
        }
    });
    let mut dice = Dice(1);
    let (mut found, mut written) = (Vec::new(), Vec::new());
    for _page in 0..args.pages {
        let after = format!("peer-{:06}", dice.roll(args.peers.saturating_sub(1_001).max(1)));
        let query = PeerQuery {
            service: Some("greeter".to_owned()),
            after: Some(after),
            limit: 1_000,
            ..PeerQuery::default()
        };
        let began = Instant::now();
        let page = view.peers(&query);
        found.push(began.elapsed());
        let json = serde_json::to_vec(&page.items)?;
        written.push(began.elapsed());
        std::hint::black_box(json);
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    let writes = writer.await??;
    tell(
        &json!({ "figure": "page of 1000 peers", "peers": args.peers, "time": spread(found), "writes_meanwhile": writes }),
    );
    tell(&json!({ "figure": "page of 1000 peers as JSON", "peers": args.peers, "time": spread(written) }));
    Ok(())
}
