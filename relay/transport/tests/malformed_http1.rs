//! HTTP/1.1 as it must not be (RFC 9112), byte by byte.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;

use relay_core::Protocol;
use relay_transport::tls;
use support::{Server, http1};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn each_gets_its_status_and_the_listener_stays_healthy() {
    let server = Server::start(|_, _| {});
    let client = server.client(None);
    let refused = "HTTP/1.1 400 ";
    for (what, expected, request) in [
        ("garbage", refused, "\x01\x02\x03\x04\r\n\r\n"),
        ("no version", refused, "GET /\r\n\r\n"),
        ("HTTP/2's preface", "", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("an unknown version", refused, "GET / HTTP/3.7\r\nhost: a\r\n\r\n"),
        ("a space before the colon", refused, "GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
        ("a folded field", refused, "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n 2\r\n\r\n"),
        ("a control character in a field", refused, "GET / HTTP/1.1\r\nhost: a\r\nx: \x01\r\n\r\n"),
        ("a bare CR", refused, "GET / HTTP/1.1\r\nhost: a\rx: 1\r\n\r\n"),
        (
            "a length that is no number",
            refused,
            "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        ),
        ("a negative length", refused, "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n"),
        (
            "two lengths",
            refused,
            "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        ),
        (
            "an unknown coding at the end",
            refused,
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        ),
        (
            "chunked in HTTP/1.0",
            refused,
            "POST /read HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("no host", refused, "GET / HTTP/1.1\r\n\r\n"),
        ("no host beside a whole target", refused, "GET https://a/ HTTP/1.1\r\n\r\n"),
        ("two hosts", refused, "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
        ("two hosts in HTTP/1.0", "HTTP/1.0 400 ", "GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("a host with a space", refused, "GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
        ("a host with a user", refused, "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n"),
        ("a host with a path", refused, "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
        ("a port that is no number", refused, "GET / HTTP/1.1\r\nhost: a:b\r\n\r\n"),
        (
            "a gRPC call without host",
            refused,
            "POST /a.B/C HTTP/1.1\r\ncontent-type: application/grpc\r\n\r\n",
        ),
        (
            "a coding that is not known before the last one",
            "HTTP/1.1 501 ",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a coding that is not known in a line of its own",
            "HTTP/1.1 501 ",
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            refused,
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let stream = server.tls(&client, Protocol::Http1).await.unwrap();
        let answer = http1(stream, request).await;
        assert!(answer.starts_with(expected) && !answer.contains("200 OK"), "{what}: {answer}");
    }
    server.until_refused("malformed", 24).await;
    server.is_healthy().await;
    server.drain.start();
    server.serving.await.unwrap();
}

#[tokio::test]
async fn broken_bodies_are_errors_and_never_the_next_request() {
    let server = Server::start(|_, _| {});
    let client = server.client(None);
    let chunked = "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let next = "GET /who HTTP/1.1\r\nhost: a\r\n\r\n";
    for (what, body) in [
        ("a chunk size that is no number", format!("zz\r\n{next}")),
        ("a chunk size beyond every number", format!("fffffffffffffffff\r\n{next}")),
        ("a chunk longer than its size", format!("1\r\nabc\r\n0\r\n\r\n{next}")),
        ("a signed chunk size", format!("+1\r\na\r\n0\r\n\r\n{next}")),
    ] {
        let stream = server.tls(&client, Protocol::Http1).await.unwrap();
        let answer = http1(stream, format!("{chunked}{body}")).await;
        assert!(!answer.contains("http1 127.0.0.1"), "{what} let a request through: {answer}");
        assert!(answer.contains("the request's body is not chunked"), "{what}: {answer}");
    }
    server.until_refused("malformed", 4).await;
    // A length beside a coding: the coding counts, and the connection ends (RFC 9112, section 6.3).
    let both = format!(
        "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{next}"
    );
    let answer = http1(server.tls(&client, Protocol::Http1).await.unwrap(), both).await;
    assert!(!answer.contains("http1 127.0.0.1"), "{answer}");
    server.is_healthy().await;
}

#[tokio::test]
async fn every_good_form_of_a_target_is_served_and_http_1_0_too() {
    let server = Server::start(|_, _| {});
    let client = server.client(None);
    for (what, request) in [
        ("a path", "GET / HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n"),
        ("no name for the server", "GET / HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n"),
        ("an address", "GET / HTTP/1.1\r\nhost: [::1]:9\r\nconnection: close\r\n\r\n"),
        ("a whole URL", "GET http://a/ HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n"),
        ("an asterisk", "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        (
            "chunked in capitals",
            "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: CHUNKED\r\nconnection: close\r\n\r\n0\r\n\r\n",
        ),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
        ("HTTP/1.0 with a host", "GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
        ("HTTP/1.0 with a body", "POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nab"),
    ] {
        let stream = server.tls(&client, Protocol::Http1).await.unwrap();
        let answer = http1(stream, request).await;
        let version = if what.starts_with("HTTP/1.0") { "HTTP/1.0" } else { "HTTP/1.1" };
        assert!(
            answer.starts_with(&format!("{version} 200 OK")) && answer.ends_with("ok"),
            "{what}: {answer}"
        );
    }
    // A connection is kept for who asks for that, in HTTP/1.0 too.
    let two = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    let answer = http1(server.tls(&client, Protocol::Http1).await.unwrap(), two).await;
    assert_eq!(answer.matches("HTTP/1.0 200 OK").count(), 2, "{answer}");
    assert_eq!(server.refused("malformed"), 0);
}

#[tokio::test]
async fn who_agrees_on_http_1_0_alone_is_served() {
    let server = Server::start(|_, _| {});
    let mut config = tls::client_config(&server.client(None), &[]).unwrap();
    config.alpn_protocols = vec![b"http/1.0".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let socket = TcpStream::connect(server.inet()).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let answer = http1(stream, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("ok"), "{answer}");
}
