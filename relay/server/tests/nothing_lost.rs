//! Steady load through the `relayd` binary while one of three peers, processes of their own, fails:
//! no call that may be carried out twice is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use relay_core::Protocol;
use relay_core::introspect::{Introspection, PeerState};
use relay_testkit::{Network, TestCa};
use support::load::Load;
use support::{Relay, config, introspection};

/// Callers that send one call after the other.
const CALLERS: usize = 4;
/// Calls that have to be answered after a peer has failed, before the test is content.
const CALLS: u64 = 400;

const ROUTE: &str = r#"
[[routes]]
service = "s"
outbound = "up"
idempotent = true
retries = { max = 4, base_ms = 5, try_timeout_ms = 400 }
"#;

/// A peer: a relay that answers itself.
fn peer(ca: &TestCa) -> Relay {
    let routes = "[[routes]]\nservice = \"s\"\nrespond = { code = \"ok\", body = \"fine\" }\n";
    Relay::start(ca, &config(ca, &["https://127.0.0.1:9"], "", routes))
}

/// A relay before three peers that speak one protocol.
fn before(ca: &TestCa, peers: [&str; 3], protocol: Protocol) -> Relay {
    // In turn, so that the peer that fails is asked again and again until it is left out.
    let outbound = format!(
        r#"protocols = ["{protocol}"]
connect_timeout_ms = 300
balance = {{ strategy = "round-robin" }}
outliers = {{ base_ms = 60000, interval_ms = 100 }}
"#
    );
    Relay::start(ca, &config(ca, &peers, &outbound, ROUTE))
}

/// What happens to the first of the peers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Drained,
    Paused,
}

/// Runs load over a protocol while the first of three peers meets its fate.
async fn survive(fate: Fate, protocol: Protocol) {
    let ca = TestCa::new();
    let mut peers = [peer(&ca), peer(&ca), peer(&ca)];
    let urls = [0, 1, 2].map(|index: usize| peers[index].data.clone());
    let relay = before(&ca, [&urls[0], &urls[1], &urls[2]], protocol);
    let load = Load::start(&ca, &relay, &[protocol; CALLERS]);
    load.more(CALLS / 4).await;
    let first = peers[0].child.id();
    match fate {
        Fate::Killed => relay_testkit::kill(first),
        Fate::Drained => relay_testkit::terminate(first),
        Fate::Paused => relay_testkit::pause(first),
    }
    load.more(CALLS).await;
    until_left_out(&ca, &relay, &load).await;
    load.end().await;
    if fate == Fate::Paused {
        relay_testkit::resume(first);
    }
    for peer in &mut peers[1..] {
        assert_eq!(peer.terminate(), 0);
    }
}

/// The relay finds out by its calls alone that a peer is gone.
async fn until_left_out(ca: &TestCa, relay: &Relay, load: &Load) -> Introspection {
    loop {
        let shown = introspection(ca, relay).await;
        if shown.outbounds[0].peers[0].state == PeerState::Ejected {
            return shown;
        }
        load.more(CALLS / 10).await;
    }
}

#[tokio::test]
async fn a_killed_peer_over_http3() {
    survive(Fate::Killed, Protocol::Http3).await;
}

#[tokio::test]
async fn a_killed_peer_over_http2() {
    survive(Fate::Killed, Protocol::Http2).await;
}

#[tokio::test]
async fn a_drained_peer_over_http3() {
    survive(Fate::Drained, Protocol::Http3).await;
}

#[tokio::test]
async fn a_drained_peer_over_http2() {
    survive(Fate::Drained, Protocol::Http2).await;
}

#[tokio::test]
async fn a_paused_peer_over_http3() {
    survive(Fate::Paused, Protocol::Http3).await;
}

#[tokio::test]
async fn a_paused_peer_over_http2() {
    survive(Fate::Paused, Protocol::Http2).await;
}

#[tokio::test]
async fn a_peer_whose_packets_are_lost() {
    let ca = TestCa::new();
    let peers = [peer(&ca), peer(&ca), peer(&ca)];
    let address = peers[0].data.strip_prefix("https://").unwrap().parse().unwrap();
    let network = Network::before(address, 11).await;
    let lossy = format!("https://{}", network.address());
    let relay = before(&ca, [&lossy, &peers[1].data, &peers[2].data], Protocol::Http3);
    let load = Load::start(&ca, &relay, &[Protocol::Http3; CALLERS]);
    load.more(CALLS / 4).await;
    network.change(|weather| weather.lost = 50);
    load.more(2 * CALLS).await;
    load.end().await;
    assert!(introspection(&ca, &relay).await.outbounds[0].peers[0].calls > 0);
}
