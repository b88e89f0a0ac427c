//! Peers by name: the `relayd` binary before a name server that changes its mind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::Response;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::body;
use support::{Relay, Upstream, ask, call, channel, config, introspection, text};
use tokio::net::UdpSocket;

type Addresses = Arc<Mutex<Vec<[u8; 4]>>>;

/// A name server that knows one name (RFC 1035, section 4).
async fn name_server(addresses: Addresses) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let own = socket.local_addr().unwrap();
    omnirelay_runtime::spawn("name-server", async move {
        let mut buffer = [0; 1500];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
            let known = addresses.lock().unwrap().clone();
            socket.send_to(&answer(&buffer[..size], &known), from).await.unwrap();
        }
    });
    own
}

fn answer(query: &[u8], addresses: &[[u8; 4]]) -> Vec<u8> {
    let name = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap();
    let question = &query[12..name + 5];
    let is_a = query[name + 1..name + 3] == [0, 1];
    let answers = if is_a { addresses } else { &[] };
    let mut reply = query[..2].to_vec();
    // A response to a recursive query without fault: one question, so many answers, nothing more.
    reply.extend([0x81, 0x80, 0, 1, 0, u8::try_from(answers.len()).unwrap(), 0, 0, 0, 0]);
    reply.extend(question);
    for address in answers {
        // The name of the question, A, IN, a time to live of nought, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address);
    }
    reply
}

#[tokio::test]
async fn peers_come_and_go_with_their_name() {
    let ca = TestCa::new();
    let fine = |name: &'static str| move |_| async move { Response::new(body::full(name)) };
    let first = Upstream::start(&ca, fine("first"));
    let port = first.url.rsplit(':').next().unwrap().parse().unwrap();
    let _second = Upstream::start_at(&ca, ([127, 0, 0, 2], port), fine("second"));
    let addresses: Addresses = Arc::new(Mutex::new(vec![[127, 0, 0, 1]]));
    let server = name_server(Arc::clone(&addresses)).await;
    let routes = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";
    let dns =
        format!("dns = {{ name = \"localhost\", port = {port}, min_ttl_ms = 20, servers = [\"{server}\"] }}");
    let whole = config(&ca, &[], "", routes).replace("peers = []", &dns);
    let relay = Relay::start(&ca, &whole);
    let caller = channel(&ca, &relay.data, Protocol::Http3);
    assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "first");

    *addresses.lock().unwrap() = vec![[127, 0, 0, 2], [127, 0, 0, 1]];
    while introspection(&ca, &relay).await.outbounds[0].peers.len() != 2 {
        tokio::task::yield_now().await;
    }
    let kept = introspection(&ca, &relay).await.outbounds[0].peers[0].clone();
    assert_eq!((kept.url, kept.calls), (first.url.clone(), 1));

    *addresses.lock().unwrap() = vec![[127, 0, 0, 2]];
    while introspection(&ca, &relay).await.outbounds[0].peers.len() != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "second");
    // A name without addresses is a mistake of somebody's, and no reason to call nobody.
    addresses.lock().unwrap().clear();
    for _ in 0..20 {
        assert_eq!(text(caller.send(call("s", "p", "")).await.unwrap()).await, "second");
    }
    assert!(
        ask(&ca, &relay, "/metrics")
            .await
            .contains("omnirelay_outbound_peers{outbound=\"up\",state=\"up\"} 1")
    );
}
