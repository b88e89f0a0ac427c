//! A server that drains while calls start: none is lost, none is carried out twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use relay_client::{Channel, ChannelError};
use relay_core::Protocol;
use relay_transport::{Body, Limits, body};
use support::{Random, Server, post, seed, text};

/// How often each call was carried out, by its number.
type Carried = Arc<Mutex<HashMap<String, u32>>>;

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Counts a call by its body and answers with it a little later.
fn counting(
    carried: &Carried,
) -> impl tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>
+ Clone
+ Send
+ Sync
+ 'static {
    let carried = Arc::clone(carried);
    tower::service_fn(move |request: Request<Body>| {
        let carried = Arc::clone(&carried);
        Box::pin(async move {
            let name = body::collect_limited(request.into_body(), 100).await.unwrap();
            let name = String::from_utf8(name.to_vec()).unwrap();
            *carried.lock().unwrap().entry(name.clone()).or_default() += 1;
            tokio::time::sleep(Duration::from_millis(3)).await;
            Ok(Response::new(body::full(name)))
        }) as Answering
    })
}

/// Calls one after the other until `until`, and gives the names of those that were answered and of
/// those that failed without effect.
async fn calls(
    channel: Channel,
    worker: u64,
    stop: tokio::sync::watch::Receiver<bool>,
) -> (Vec<String>, Vec<String>) {
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        let name = format!("{worker}-{number}");
        match channel.send(post("/", name.clone())).await {
            Ok(response) => {
                assert_eq!(text(response).await, name);
                answered.push(name);
            }
            Err(error @ (ChannelError::Connect { .. } | ChannelError::Refused { .. })) => {
                assert!(error.is_unsent());
                refused.push(name);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("call {name} was lost: {error:?}"),
        }
    }
    (answered, refused)
}

/// Waits until so many more calls have been carried out.
async fn more_calls(carried: &Carried, count: u64) {
    let goal = carried.lock().unwrap().len() + usize::try_from(count).unwrap();
    let carried = async {
        while carried.lock().unwrap().len() < goal {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), carried).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_no_call_and_doubles_none() {
    let seed = seed(21);
    for protocol in [Protocol::Http3, Protocol::Http2] {
        let mut random = Random::new(seed);
        let carried = Carried::default();
        let mut server = Server::start(&Protocol::ALL, Limits::default(), counting(&carried));
        let channel = server.channel(&[protocol]);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let workers: Vec<_> = (0..12)
            .map(|worker| omnirelay_runtime::spawn("worker", calls(channel.clone(), worker, stopped.clone())))
            .collect();
        for round in 0..3 {
            more_calls(&carried, 30 + random.below(60)).await;
            server.drain.start();
            (&mut server.serving).await.unwrap();
            assert_eq!(server.drain.finished(Duration::from_secs(5)).await, 0, "{protocol} round {round}");
            server.again(counting(&carried)).await;
        }
        more_calls(&carried, 30).await;
        stop.send_replace(true);
        for worker in workers {
            let (done, refused) = worker.await.unwrap();
            let carried = carried.lock().unwrap();
            for name in done {
                assert_eq!(carried.get(&name), Some(&1), "{protocol}: call {name} was carried out twice");
            }
            for name in refused {
                assert_eq!(carried.get(&name), None, "{protocol}: call {name} was refused and carried out");
            }
        }
    }
}
