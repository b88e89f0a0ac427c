//! What of bare etcd is left where each put is a mutation with version check, audit and change row:
//! `cargo bench -p meshkit-store --bench etcd`. Both sides put the same bytes under as many keys, in turn.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it says by panicking that it failed, and prints a table"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meshkit_etcd::api::request_op::Request;
use meshkit_etcd::{Client, Config, api};
use meshkit_store::{EtcdOptions, EtcdStore, Expect};
use meshkit_testkit::records::{commit, peer, put};
use relay_testkit::EtcdCluster;

const ROUNDS: usize = 3;
const SECONDS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let cluster = EtcdCluster::start(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = Config { endpoints: cluster.endpoints(), tls: cluster.tls(), user: None };
        let client = Client::new(&config).unwrap();
        let store = EtcdStore::open(&EtcdOptions::new(config, "/bench")).await.unwrap();
        println!("writers   bare puts/s   mutations/s   ratio");
        for writers in [1, 16, 128] {
            let (mut bare, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let (client, store) = (client.clone(), store.clone());
                bare.push(measure(writers, move |n| put_bare(client.clone(), n)).await);
                ours.push(measure(writers, move |n| mutate(store.clone(), n)).await);
            }
            let (bare, ours) = (median(bare), median(ours));
            println!("{writers:>7} {bare:>13.0} {ours:>13.0} {:>7.2}", ours / bare);
        }
    });
}

async fn put_bare(client: Client, n: u64) {
    let value = serde_json::to_vec(&peer(&format!("p{n}"))).unwrap();
    let put = api::PutRequest { key: format!("/bare/{n}").into_bytes(), value, ..api::PutRequest::default() };
    let success = vec![api::RequestOp { request: Some(Request::RequestPut(put)) }];
    client.txn(api::TxnRequest { success, ..api::TxnRequest::default() }, PATIENCE).await.unwrap();
}

async fn mutate(store: EtcdStore, n: u64) {
    commit(&store, vec![put(&peer(&format!("p{n}")), Expect::Absent)]).await.unwrap();
}

/// Calls a second, with so many at once.
async fn measure<F: Future<Output = ()> + Send + 'static>(
    writers: usize,
    call: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> f64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let done = Arc::new(AtomicU64::new(0));
    let (began, until) = (Instant::now(), Instant::now() + Duration::from_secs(SECONDS));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (call, done) = (call.clone(), Arc::clone(&done));
            omnirelay_runtime::spawn("writer", async move {
                while Instant::now() < until {
                    call(NUMBER.fetch_add(1, Ordering::Relaxed)).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    let calls = done.load(Ordering::Relaxed) as f64;
    calls / began.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
