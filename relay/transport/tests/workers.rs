//! QUIC on several threads, and clients whose address changes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use std::collections::HashSet;
use std::net::UdpSocket;

use omnirelay_runtime::Metrics;
use relay_transport::{Listener, ListenerConfig};
use support::{Server, h3};

#[tokio::test]
async fn connections_are_spread_over_the_workers() {
    let server = Server::start(|config, _| config.quic_workers = 4);
    let client = server.client(Some("spiffe://test/client"));
    let mut threads = HashSet::new();
    let mut connections = Vec::new();
    // The chance that four workers hide from 64 clients is below one in a million.
    for _ in 0..64 {
        let connection = h3::connect(&server, &client).await.unwrap();
        let thread = h3::get(&connection, "/thread").await.unwrap();
        assert_eq!(h3::get(&connection, "/thread").await.unwrap(), thread, "a connection stays where it is");
        threads.insert(thread);
        connections.push(connection);
    }
    assert_eq!(threads.len(), 4, "{threads:?}");
    assert!(h3::get(&connections[0], "/who").await.unwrap().contains("spiffe://test/client"));
    server.is_healthy().await;

    server.drain.start();
    server.serving.await.unwrap();
    for connection in connections {
        let closed = connection.peer.connection.closed().await;
        assert!(matches!(closed, quinn::ConnectionError::ApplicationClosed(_)), "{closed}");
    }
}

#[tokio::test]
async fn calls_survive_a_change_of_the_clients_address() {
    let server = Server::start(|config, _| config.quic_workers = 4);
    let client = server.client(None);
    let connection = h3::connect(&server, &client).await.unwrap();
    let thread = h3::get(&connection, "/thread").await.unwrap();
    // By the addresses alone the chance to meet the same worker each time is 4 to the power of -10.
    for _ in 0..10 {
        connection.peer.endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        assert_eq!(h3::get(&connection, "/thread").await.unwrap(), thread);
    }
    let accepted = "omnirelay_listener_connections_total{listener=\"test\",protocol=\"http3\"}";
    assert_eq!(server.metric(accepted), 1, "it was one connection all the time");
}

#[tokio::test]
async fn a_port_that_another_listener_has_is_noticed() {
    let server = Server::start(|config, _| {
        config.quic_workers = 2;
        config.protocols = vec![relay_core::Protocol::Http3];
    });
    let tls = server.ca.server_tls("spiffe://test/other");
    let config = ListenerConfig {
        protocols: vec![relay_core::Protocol::Http3],
        quic_workers: 2,
        ..ListenerConfig::new(server.inet(), tls)
    };
    let taken = Listener::bind("other", &config, &Metrics::default()).err().unwrap();
    assert!(taken.hint_text().unwrap().contains("ss -lntup"), "{taken}");
}

#[tokio::test]
async fn a_listener_that_never_serves_leaves_nothing() {
    let server = Server::start(|config, _| config.quic_workers = 1);
    let tls = server.ca.server_tls("spiffe://test/other");
    let config = ListenerConfig { quic_workers: 3, ..ListenerConfig::new(([127, 0, 0, 1], 0), tls) };
    let listener = Listener::bind("other", &config, &Metrics::default()).unwrap();
    assert_eq!(listener.quic_workers(), 3);
    let address = listener.local_addr();
    drop(listener);
    let free = || UdpSocket::bind(address.inet().unwrap()).is_ok();
    support::eventually(free, || "the port is still taken".to_owned()).await;
}

#[tokio::test]
async fn a_listener_that_is_dropped_serves_no_longer() {
    let server = Server::start(|config, _| config.quic_workers = 3);
    let connection = h3::connect(&server, &server.client(None)).await.unwrap();
    assert_eq!(h3::get(&connection, "/").await.unwrap(), "ok");
    let address = server.inet();
    server.serving.abort();
    let free = || UdpSocket::bind(address).is_ok();
    support::eventually(free, || "the port is still taken".to_owned()).await;
}
