//! HTTP/1.1 as byte-by-byte callers of `relayd` write it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use http::{Request, Response};
use relay_core::RpcStyle;
use relay_testkit::TestCa;
use relay_transport::{Body, body, respond};
use support::{Relay, Upstream, config};

/// Answers once it has read everything.
async fn echo(request: Request<Body>) -> Response<Body> {
    match body::collect_limited(request.into_body(), 1 << 20).await {
        Ok(bytes) => Response::new(body::full(bytes)),
        Err(status) => respond::status(RpcStyle::Yarpc, &status),
    }
}

/// Writes `request` in the clear and reads until the relay closes.
async fn raw(relay: &Relay, request: &str) -> String {
    let address = relay.data.trim_start_matches("https://").to_owned();
    let request = request.to_owned();
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A reset may follow what was answered early.
        let _cut = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    });
    asking.await.unwrap()
}

fn start(ca: &TestCa, upstream: &Upstream, protocol: &str) -> Relay {
    let config = config(
        ca,
        &[&upstream.url],
        &format!("protocols = [\"{protocol}\"]"),
        "[[routes]]\nservice = \"up\"\noutbound = \"up\"\n",
    );
    let tls = config.find("tls = ").unwrap();
    let end = tls + config[tls..].find('\n').unwrap();
    Relay::start(ca, &format!("{}plaintext = true{}", &config[..tls], &config[end..]))
}

const CALL: &str = "host: a\r\nrpc-service: up\r\nrpc-procedure: p\r\nrpc-encoding: raw\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_chunk_is_its_senders_fault_whatever_was_sent_on_by_then() {
    let ca = TestCa::new();
    let upstream = Upstream::start(&ca, echo);
    for protocol in ["http1", "http2", "http3"] {
        let relay = start(&ca, &upstream, protocol);
        for chunks in ["zz\r\n", "2\r\nab\r\nzz\r\n", "2\r\nabc\r\n0\r\n\r\n"] {
            let request =
                format!("POST /yarpc/v1 HTTP/1.1\r\n{CALL}transfer-encoding: chunked\r\n\r\n{chunks}");
            let answer = raw(&relay, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{protocol} {chunks:?}: {answer}");
            assert!(answer.contains("rpc-error-code: invalid-argument"), "{protocol} {chunks:?}: {answer}");
        }
        let good =
            format!("POST /yarpc/v1 HTTP/1.1\r\n{CALL}connection: close\r\ncontent-length: 2\r\n\r\nab");
        let answer = raw(&relay, &good).await;
        // Over HTTP/3 the upstream does not say how long its answer is.
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nab"), "{protocol}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_http_1_0_is_answered_in_it_and_what_is_malformed_is_refused_before_it_is_routed() {
    let ca = TestCa::new();
    let upstream = Upstream::start(&ca, echo);
    let relay = start(&ca, &upstream, "http2");
    for (expected, request) in [
        ("HTTP/1.0 200 ", format!("POST /yarpc/v1 HTTP/1.0\r\n{CALL}content-length: 2\r\n\r\nab")),
        (
            "HTTP/1.0 200 ",
            format!("POST /yarpc/v1 HTTP/1.0\r\n{}content-length: 2\r\n\r\nab", &CALL["host: a\r\n".len()..]),
        ),
        (
            "HTTP/1.1 200 ",
            format!(
                "POST http://b/yarpc/v1 HTTP/1.1\r\n{CALL}connection: close\r\ncontent-length: 2\r\n\r\nab"
            ),
        ),
        ("HTTP/1.1 400 ", format!("POST /yarpc/v1 HTTP/1.1\r\nhost: b\r\n{CALL}content-length: 2\r\n\r\nab")),
        (
            "HTTP/1.1 501 ",
            format!("POST /yarpc/v1 HTTP/1.1\r\n{CALL}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
    ] {
        let answer = raw(&relay, &request).await;
        assert!(answer.starts_with(expected), "{request}: {answer}");
        assert_eq!(answer.ends_with("\r\n\r\nab"), expected.contains("200"), "{request}: {answer}");
    }
}
