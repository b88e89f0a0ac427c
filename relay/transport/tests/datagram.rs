//! Messages between equals over real sockets: who is let in, what arrives, and what nobody minds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use omnirelay_runtime::Metrics;
use relay_testkit::TestCa;
use relay_transport::datagram::{DatagramConfig, Datagrams, Received};
use relay_transport::tls::ServerTls;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything that has to come may take to come.
const DEADLINE: Duration = Duration::from_secs(20);
const MAX_MESSAGE: usize = 64 << 10;

struct Peer {
    datagrams: Datagrams,
    inbox: mpsc::Receiver<Received>,
    metrics: Metrics,
}

fn config(port: u16) -> DatagramConfig {
    DatagramConfig {
        address: (Ipv4Addr::LOCALHOST, port).into(),
        alpn: b"test/1",
        allow: vec!["spiffe://omnirelay.dev/member/*".to_owned()],
        max_message: MAX_MESSAGE,
        max_connections: 64,
    }
}

fn peer_at(ca: &TestCa, role: &str, name: &str, port: u16) -> Peer {
    let tls = ServerTls::load(&ca.server_tls(&format!("spiffe://omnirelay.dev/{role}/{name}"))).unwrap();
    let metrics = Metrics::default();
    let (datagrams, inbox) = Datagrams::bind(&config(port), &tls, &metrics).unwrap();
    Peer { datagrams, inbox, metrics }
}

fn peer(ca: &TestCa, name: &str) -> Peer {
    peer_at(ca, "member", name, 0)
}

impl Peer {
    fn address(&self) -> SocketAddr {
        self.datagrams.local_addr()
    }

    async fn next(&mut self) -> Received {
        timeout(DEADLINE, self.inbox.recv()).await.unwrap().unwrap()
    }

    fn counts(&self, event: &str, at_least: u64) -> bool {
        let line = format!("omnirelay_datagram_events_total{{event=\"{event}\"}} ");
        let text = self.metrics.render();
        let count = text.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or("0");
        count.parse::<u64>().unwrap() >= at_least
    }

    async fn counted(&self, event: &str) {
        let waiting = async {
            while !self.counts(event, 1) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{event} was never counted"));
    }
}

#[tokio::test]
async fn both_ends_send_over_one_connection_and_know_each_other() {
    let ca = TestCa::new();
    let (mut one, mut two) = (peer(&ca, "one"), peer(&ca, "two"));
    one.datagrams.send(two.address(), Bytes::from_static(b"hello"));
    let heard = two.next().await;
    assert_eq!(heard.message, "hello");
    assert_eq!(heard.from.spiffe(), "spiffe://omnirelay.dev/member/one");
    assert_eq!(heard.address, one.address());
    two.datagrams.send(heard.address, Bytes::from_static(b"and back"));
    let back = one.next().await;
    assert_eq!((back.message.as_ref(), back.from.name()), (&b"and back"[..], "two"));
    assert!(one.counts("connected", 1) && !one.counts("connected", 2), "{}", one.metrics.render());
    assert_eq!(one.datagrams.reach(two.address()).await.unwrap().name(), "two");
}

#[tokio::test]
async fn what_is_too_long_for_a_datagram_comes_whole_and_what_is_too_long_at_all_does_not() {
    let ca = TestCa::new();
    let (one, mut two) = (peer(&ca, "one"), peer(&ca, "two"));
    let long = Bytes::from(vec![7; MAX_MESSAGE]);
    one.datagrams.deliver(two.address(), long.clone()).await.unwrap();
    assert_eq!(two.next().await.message, long);
    one.datagrams.send(two.address(), long.clone());
    assert_eq!(two.next().await.message, long);
    one.datagrams.send(two.address(), Bytes::from(vec![7; MAX_MESSAGE + 1]));
    two.counted("dropped").await;
    one.datagrams.send(two.address(), Bytes::from_static(b"still there"));
    assert_eq!(two.next().await.message, "still there");
}

#[tokio::test]
async fn strangers_are_refused_whoever_calls() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let (mut one, stranger) = (peer(&ca, "one"), peer(&other, "one"));
    assert!(one.datagrams.reach(stranger.address()).await.is_err());
    // A server's refusal may arrive behind the handshake's end, but what was sent does not pass.
    assert!(stranger.datagrams.deliver(one.address(), Bytes::from_static(b"let me in")).await.is_err());
    stranger.datagrams.send(one.address(), Bytes::from_static(b"let me in"));
    let role = peer_at(&ca, "service", "inventory", 0);
    role.datagrams.send(one.address(), Bytes::from_static(b"let me in too"));
    one.counted("refused").await;
    let friend = peer(&ca, "two");
    friend.datagrams.send(one.address(), Bytes::from_static(b"hello"));
    assert_eq!(one.next().await.message, "hello", "nothing of the others came before it");
}

#[tokio::test]
async fn bytes_that_are_no_packets_change_nothing() {
    let ca = TestCa::new();
    let (one, mut two) = (peer(&ca, "one"), peer(&ca, "two"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 20, 1_200, 9_000] {
        for byte in [0x00, 0x40, 0xc0, 0xff] {
            socket.send_to(&vec![byte; length], two.address()).unwrap();
        }
    }
    one.datagrams.send(two.address(), Bytes::from_static(b"hello"));
    assert_eq!(two.next().await.message, "hello");
    assert!(!two.counts("refused", 1) && two.inbox.try_recv().is_err());
}

#[tokio::test]
async fn who_begins_anew_at_the_same_address_is_found_again() {
    let ca = TestCa::new();
    let (mut one, mut two) = (peer(&ca, "one"), peer(&ca, "two"));
    let address = two.address();
    one.datagrams.send(address, Bytes::from_static(b"first"));
    assert_eq!(two.next().await.message, "first");
    two.datagrams.close().await;
    drop(two);
    // The address is free once the tasks that used it have ended.
    let freed = async {
        while UdpSocket::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, freed).await.unwrap();
    let mut anew = peer_at(&ca, "member", "two", address.port());
    anew.datagrams.send(one.address(), Bytes::from_static(b"here again"));
    assert_eq!(one.next().await.message, "here again");
    one.datagrams.send(address, Bytes::from_static(b"second"));
    assert_eq!(anew.next().await.message, "second");
}

#[tokio::test]
async fn nobody_at_an_address_is_an_error_and_messages_for_it_are_lost() {
    let ca = TestCa::new();
    let one = peer(&ca, "one");
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    one.datagrams.send(address, Bytes::from_static(b"anybody?"));
    one.counted("dropped").await;
    let error = one.datagrams.reach(address).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn without_authorities_nothing_is_bound() {
    let ca = TestCa::new();
    let mut config_tls = ca.server_tls("spiffe://omnirelay.dev/member/one");
    config_tls.client_ca = None;
    let tls = ServerTls::load(&config_tls).unwrap();
    let error = Datagrams::bind(&config(0), &tls, &Metrics::default()).unwrap_err();
    assert!(error.hint_text().is_some_and(|hint| hint.contains("client_ca")), "{error}");
}
