//! The channel and the listener on networks that lose, double, delay, cut, rebind and block.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use relay_client::{Channel, ChannelError};
use relay_core::{DowngradeReason, Negotiated, Protocol};
use relay_testkit::Network;
use relay_transport::{Body, Limits, body};
use support::{Random, Server, get, post, seed};

const FIRST_HTTP3: [Protocol; 2] = [Protocol::Http3, Protocol::Http2];

/// Echoes; `/slow` never answers.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/slow" {
        std::future::pending::<()>().await;
    }
    if request.method() == http::Method::GET {
        return Ok(Response::new(body::full("hello")));
    }
    Ok(Response::new(request.into_body()))
}

fn serve() -> Server {
    Server::start(&Protocol::ALL, Limits::default(), tower::service_fn(answer))
}

/// Bytes that differ by seed and place, so that nothing swapped looks right.
fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..size).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

async fn echo(channel: &Channel, seed: u64, size: usize) -> Negotiated {
    let sent = content(seed, size);
    let response = channel.send(post("/echo", sent.clone())).await.unwrap();
    let negotiated = *response.extensions().get::<Negotiated>().unwrap();
    let received = response.into_body().collect().await.unwrap().to_bytes();
    assert!(received == sent, "the body of call {seed} came back changed");
    negotiated
}

/// Calls of many sizes at once; each has to come back as it went.
async fn echo_many(channel: &Channel, seed: u64, calls: u64) -> Vec<Negotiated> {
    let running: Vec<_> = (0..calls)
        .map(|call| {
            let (channel, seed) = (channel.clone(), seed.wrapping_mul(1000) + call);
            let size = usize::try_from(Random::new(seed).below(60_000)).unwrap();
            omnirelay_runtime::spawn("call", async move { echo(&channel, seed, size).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for one in running {
        outcomes.push(one.await.unwrap());
    }
    outcomes
}

const OVER_HTTP3: Negotiated = Negotiated { protocol: Protocol::Http3, downgrade: None };

#[tokio::test]
async fn bodies_survive_loss_reordering_and_doubles() {
    for seed in seed(1)..seed(1) + 3 {
        let server = serve();
        let network = Network::before(server.address, seed).await;
        let channel = server.channel_by(network.address(), &[Protocol::Http3]);
        echo(&channel, seed, 10).await;
        network.change(|weather| {
            (weather.lost, weather.doubled, weather.delayed) = (50, 50, 200);
        });
        for outcome in echo_many(&channel, seed, 40).await {
            assert_eq!(outcome, OVER_HTTP3, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_lossy_path_is_kept_where_another_would_do() {
    let seed = seed(7);
    let server = serve();
    let network = Network::before(server.address, seed).await;
    let channel = server.channel_by(network.address(), &FIRST_HTTP3);
    echo(&channel, seed, 10).await;
    network.change(|weather| (weather.lost, weather.delayed) = (50, 100));
    for round in 0..5 {
        for outcome in echo_many(&channel, seed + round, 10).await {
            assert_eq!(outcome, OVER_HTTP3, "seed {seed} round {round}");
        }
    }
}

#[tokio::test]
async fn a_path_that_takes_shorter_datagrams_from_now_on_still_carries_calls() {
    let seed = seed(2);
    let server = serve();
    let network = Network::before(server.address, seed).await;
    let channel = server.channel_by(network.address(), &[Protocol::Http3]);
    // Long bodies first, so that longer datagrams have been found to pass.
    echo_many(&channel, seed, 20).await;
    network.change(|weather| weather.max_datagram = 1252);
    for outcome in echo_many(&channel, seed + 1, 20).await {
        assert_eq!(outcome, OVER_HTTP3);
    }
}

#[tokio::test]
async fn calls_survive_a_nat_that_forgets() {
    let seed = seed(3);
    let server = serve();
    let network = Network::before(server.address, seed).await;
    let channel = server.channel_by(network.address(), &[Protocol::Http3]);
    echo(&channel, seed, 10).await;
    network.change(|weather| weather.delayed = 500);
    for round in 0..5 {
        let calls = {
            let channel = channel.clone();
            omnirelay_runtime::spawn("calls", async move { echo_many(&channel, seed + round, 10).await })
        };
        let before = network.passed();
        while network.passed() < before + 10 {
            tokio::task::yield_now().await;
        }
        network.rebind();
        for outcome in calls.await.unwrap() {
            assert_eq!(outcome, OVER_HTTP3, "seed {seed} round {round}");
        }
    }
    // The connection has moved; it was never opened anew.
    let rendered = server.metrics.render();
    assert!(rendered.contains("connections_total{listener=\"test\",protocol=\"http3\"} 1\n"), "{rendered}");
}

/// Calls until one goes over `wanted`, and gives how it went.
async fn until(channel: &Channel, wanted: Protocol) -> (Negotiated, Duration) {
    let start = Instant::now();
    loop {
        let response = channel.send(get("/who")).await.unwrap();
        let negotiated = *response.extensions().get::<Negotiated>().unwrap();
        if negotiated.protocol == wanted {
            return (negotiated, start.elapsed());
        }
        assert!(start.elapsed() < Duration::from_secs(20), "never over {wanted}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn where_udp_is_blocked_half_way_calls_go_over_tcp_and_come_back() {
    let server = serve();
    let network = Network::before(server.address, seed(4)).await;
    let channel = server.channel_by(network.address(), &FIRST_HTTP3);
    assert_eq!(until(&channel, Protocol::Http3).await.0, OVER_HTTP3);
    // What a first connection over TCP takes on this machine as it is now.
    let start = Instant::now();
    server.channel_by(network.address(), &[Protocol::Http2]).send(get("/who")).await.unwrap();
    let handshake = start.elapsed();
    let mut moved_within = Duration::MAX;
    for round in 0..3 {
        network.change(|weather| weather.udp_blocked = true);
        // The first call meets the silence and is moved, since it may be carried out twice.
        let start = Instant::now();
        let response = channel.send(get("/who")).await.unwrap();
        moved_within = moved_within.min(start.elapsed());
        let first = *response.extensions().get::<Negotiated>().unwrap();
        let moved = Negotiated { protocol: Protocol::Http2, downgrade: Some(DowngradeReason::NoQuicReply) };
        assert_eq!(first, moved, "round {round}");
        // From then on calls wait for nothing, and say why.
        for _ in 0..20 {
            let response = channel.send(post("/echo", "x")).await.unwrap();
            let negotiated = response.extensions().get::<Negotiated>().unwrap();
            assert_eq!(negotiated.protocol, Protocol::Http2);
            let reasons = [Some(DowngradeReason::NoQuicReply), Some(DowngradeReason::PathBroken)];
            assert!(reasons.contains(&negotiated.downgrade), "{negotiated:?}");
        }
        network.change(|weather| weather.udp_blocked = false);
        assert_eq!(until(&channel, Protocol::Http3).await.0, OVER_HTTP3, "round {round}");
    }
    // 300 ms and one handshake, by the best of three and with room for a machine that is busy: without it the call would
    // wait for QUIC's own idle time-out of many seconds. To the tick it is simulated in `stall.rs`.
    let bound = 3 * (Duration::from_millis(300) + handshake);
    assert!(moved_within <= bound, "moved within {moved_within:?}, a handshake takes {handshake:?}");
}

#[tokio::test]
async fn a_call_in_flight_on_a_path_that_died_ends_and_is_not_sent_twice() {
    let server = serve();
    let network = Network::before(server.address, seed(5)).await;
    let channel = server.channel_by(network.address(), &FIRST_HTTP3);
    assert_eq!(until(&channel, Protocol::Http3).await.0, OVER_HTTP3);
    let before = server.stats.requests();
    let in_flight = {
        let channel = channel.clone();
        omnirelay_runtime::spawn("call", async move { channel.send(post("/slow", "x")).await })
    };
    while server.stats.requests() == before {
        tokio::task::yield_now().await;
    }
    network.change(|weather| weather.udp_blocked = true);
    // Something has to be on its way for silence to be noticed: the next call, or a probe.
    let moved = channel.send(get("/who")).await.unwrap();
    assert_eq!(moved.extensions().get::<Negotiated>().unwrap().protocol, Protocol::Http2);
    let lost = in_flight.await.unwrap();
    assert!(matches!(lost, Err(ChannelError::Broken { .. })), "{lost:?}");
    assert_eq!(server.stats.requests(), before + 2, "a call arrived twice");
}

#[tokio::test]
async fn a_short_silence_costs_no_call() {
    let server = serve();
    let network = Arc::new(Network::before(server.address, seed(6)).await);
    let channel = server.channel_by(network.address(), &[Protocol::Http3]);
    echo(&channel, 6, 10).await;
    let clouds = {
        let network = Arc::clone(&network);
        omnirelay_runtime::spawn("clouds", async move {
            for _ in 0..4 {
                network.change(|weather| weather.udp_blocked = true);
                tokio::time::sleep(Duration::from_millis(150)).await;
                network.change(|weather| weather.udp_blocked = false);
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        })
    };
    let mut round = 0;
    while !clouds.is_finished() {
        round += 1;
        for outcome in echo_many(&channel, round, 4).await {
            assert_eq!(outcome, OVER_HTTP3);
        }
    }
}

#[tokio::test]
async fn a_peer_that_restarts_without_a_word_is_found_again_over_http3() {
    let mut server = serve();
    let network = Network::before(server.address, seed(8)).await;
    let channel = server.channel_by(network.address(), &FIRST_HTTP3);
    assert_eq!(until(&channel, Protocol::Http3).await.0, OVER_HTTP3);
    // Nothing of its goodbye arrives, as if it had been killed.
    network.change(|weather| weather.udp_blocked = true);
    server.drain.start();
    server.serving.abort();
    let _gone = (&mut server.serving).await;
    server.again(tower::service_fn(answer)).await;
    network.change(|weather| weather.udp_blocked = false);
    // The new process knows nothing of the old connection: silence, TCP, and then HTTP/3 anew.
    let (over_tcp, _) = until(&channel, Protocol::Http2).await;
    assert_eq!(over_tcp.downgrade, Some(DowngradeReason::NoQuicReply));
    assert_eq!(until(&channel, Protocol::Http3).await.0, OVER_HTTP3);
}

#[tokio::test]
async fn a_peer_that_restarts_is_found_again_where_nothing_else_is_allowed() {
    for protocol in [Protocol::Http3, Protocol::Http2] {
        let mut server = serve();
        let network = Network::before(server.address, seed(9)).await;
        let mut config = server.config(&[protocol]);
        config.endpoint = format!("https://localhost:{}", network.address().port());
        (config.keep_alive.probe_every, config.keep_alive.dead_after) =
            (Duration::from_millis(100), Duration::from_millis(500));
        let channel = Channel::new(&config).unwrap();
        echo(&channel, 9, 10).await;
        let in_flight = {
            let channel = channel.clone();
            omnirelay_runtime::spawn("call", async move { channel.send(post("/slow", "x")).await })
        };
        while server.stats.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
        // As if it had been killed: over UDP no goodbye arrives, over TCP the kernel says it.
        network.change(|weather| weather.udp_blocked = true);
        server.drain.start();
        server.serving.abort();
        let _gone = (&mut server.serving).await;
        network.cut();
        let lost = tokio::time::timeout(Duration::from_secs(20), in_flight).await.unwrap().unwrap();
        assert!(matches!(lost, Err(ChannelError::Broken { .. })), "{protocol} {lost:?}");
        server.again(tower::service_fn(answer)).await;
        network.change(|weather| weather.udp_blocked = false);
        let found = async {
            while channel.send(get("/who")).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.unwrap();
        assert_eq!(echo(&channel, 9, 10).await, Negotiated { protocol, downgrade: None });
    }
}

#[tokio::test]
async fn an_answer_whose_path_dies_in_its_middle_breaks_off() {
    let service = tower::service_fn(|_request: Request<Body>| async {
        let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data("begun".into()))]);
        let rest = futures_util::stream::pending();
        Ok(Response::new(body::boxed(StreamBody::new(first.chain(rest)))))
    });
    let server = Server::start(&Protocol::ALL, Limits::default(), service);
    let network = Network::before(server.address, seed(10)).await;
    let channel = channel_with_probes(&server, &network);
    let mut answer = channel.send(get("/")).await.unwrap().into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    network.change(|weather| weather.udp_blocked = true);
    let next = tokio::time::timeout(Duration::from_secs(20), answer.frame()).await.unwrap();
    assert!(next.is_some_and(|frame| frame.is_err()), "it looks complete");
    // And whoever calls next goes over TCP, and says why.
    let response = channel.send(get("/")).await.unwrap();
    let negotiated = response.extensions().get::<Negotiated>().unwrap();
    assert_eq!(negotiated.protocol, Protocol::Http2);
    assert!(negotiated.downgrade.is_some());
}

/// HTTP/3 first, by a network, with probes often enough for a test.
fn channel_with_probes(server: &Server, network: &Network) -> Channel {
    let mut config = server.config(&FIRST_HTTP3);
    config.endpoint = format!("https://localhost:{}", network.address().port());
    config.keep_alive.probe_every = Duration::from_millis(100);
    Channel::new(&config).unwrap()
}
