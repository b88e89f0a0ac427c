//! After any number of resets and cancellations nothing is left: no request, connection or task.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use relay_client::Channel;
use relay_core::{Protocol, Status};
use relay_transport::{Body, Limits, body};
use support::{Random, Server, seed};

/// Echoes; `/late` after a while, and `/break` breaks off within its answer.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    match request.uri().path() {
        "/late" => tokio::time::sleep(Duration::from_millis(5)).await,
        "/break" => return Ok(Response::new(dripping(3, End::Break))),
        _ => {}
    }
    Ok(Response::new(request.into_body()))
}

/// How a message ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Break,
}

/// Pieces that come one by one, so that a call can be dropped between them.
fn dripping(pieces: u64, end: End) -> Body {
    let stream = futures_util::stream::unfold(Some(pieces), move |left| async move {
        tokio::task::yield_now().await;
        match left? {
            0 if end == End::Break => Some((Err(Status::internal("broken on purpose")), None)),
            0 => None,
            left => Some((Ok(Frame::data(Bytes::from(vec![b'x'; 700]))), Some(left - 1))),
        }
    });
    body::boxed(StreamBody::new(stream))
}

/// One call that is given up at a random point: before its head, in its body, in the answer, or
/// not at all; or whose request or answer breaks off.
async fn one(channel: &Channel, random: &mut Random) {
    let path = match random.below(8) {
        0 | 1 => "/late",
        2 => "/break",
        _ => "/echo",
    };
    let end = if random.below(8) == 0 { End::Break } else { End::Whole };
    let request = Request::post(path).body(dripping(random.below(6), end)).unwrap();
    let steps = random.below(12);
    let call = async {
        let Ok(answer) = channel.send(request).await else { return };
        let mut answer = answer.into_body();
        for _ in 0..steps {
            if !matches!(answer.frame().await, Some(Ok(_))) {
                return;
            }
        }
    };
    let patience = random.below(40);
    tokio::select! {
        () = call => {}
        () = async { for _ in 0..patience { tokio::task::yield_now().await; } }, if patience < 30 => {}
    }
}

/// Calls over all protocols together: a hundred thousand under Bazel, as CI runs it, and fewer for those who wait for it;
/// `OMNIRELAY_RESETS` says another number.
fn calls() -> u64 {
    let usual = if std::env::var_os("TEST_SRCDIR").is_some() { 100_000 } else { 3_000 };
    std::env::var("OMNIRELAY_RESETS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_after_random_cancellations() {
    let seed = seed(11);
    let runtime = tokio::runtime::Handle::current().metrics();
    let tasks_before = runtime.num_alive_tasks();
    for (protocol, calls) in
        [(Protocol::Http3, calls()), (Protocol::Http2, calls()), (Protocol::Http1, calls() / 8)]
    {
        let server = Server::start(&Protocol::ALL, Limits::default(), tower::service_fn(answer));
        let channel = server.channel(&[protocol]);
        let workers: Vec<_> = (0..16)
            .map(|worker| {
                let channel = channel.clone();
                omnirelay_runtime::spawn("worker", async move {
                    let mut random = Random::new(seed + worker);
                    for _ in 0..calls / 32 {
                        one(&channel, &mut random).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        settle(|| server.stats.in_flight() == 0, &format!("{protocol}: requests are left")).await;
        // The connections of the callers still carry calls, and all their streams are free again.
        for _ in 0..300 {
            let answer =
                channel.send(Request::post("/echo").body(dripping(1, End::Whole)).unwrap()).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 700);
        }
        // Nor did what was given up keep any of the room for what is on its way (16 MiB fill each
        // connection's windows twice).
        for _ in 0..32 {
            let answer =
                channel.send(Request::post("/echo").body(body::full(vec![b'x'; 512 << 10])).unwrap());
            assert_eq!(
                answer.await.unwrap().into_body().collect().await.unwrap().to_bytes().len(),
                512 << 10
            );
        }
        channel.close().await;
        drop(channel);
        let open = "open_connections{listener=\"test\"} 0\n";
        settle(|| server.metrics.render().contains(open), &format!("{protocol}: connections are left")).await;
        assert!(server.metrics.render().contains("panics_total{listener=\"test\"} 0\n"));
        server.drain.start();
        server.serving.await.unwrap();
    }
    let left = || runtime.num_alive_tasks() <= tasks_before;
    settle(left, "tasks are left").await;
}

/// Waits until something that only ends by itself has ended.
async fn settle(done: impl Fn() -> bool, what: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
