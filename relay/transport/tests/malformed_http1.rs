//! HTTP/1.1 as it must not be (RFC 9112), byte by byte.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use relay_core::Protocol;
use support::{Server, http1};

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
    ] {
        let stream = server.tls(&client, Protocol::Http1).await.unwrap();
        let answer = http1(stream, request).await;
        assert!(answer.starts_with(expected) && !answer.contains("200 OK"), "{what}: {answer}");
    }
    server.until_refused("malformed", 10).await;
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
    }
    // A length beside a coding: the coding counts, and the connection ends (RFC 9112, section 6.3).
    let both = format!(
        "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{next}"
    );
    let answer = http1(server.tls(&client, Protocol::Http1).await.unwrap(), both).await;
    assert!(!answer.contains("http1 127.0.0.1"), "{answer}");
    server.is_healthy().await;
}
