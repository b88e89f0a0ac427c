//! What a stranger may do, and what it hears when it does more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use relay_core::Protocol;
use relay_transport::{Body, body};
use support::{Server, eventually, h2, h3, http1, read_all};
use tokio::io::AsyncWriteExt as _;

const ASK: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn long_targets_and_many_fields_are_answered() {
    let server = Server::start(|config, _| {
        config.limits.max_uri_bytes = 256;
        config.limits.max_header_count = 16;
    });
    let client = server.client(None);
    let connect = || server.tls(&client, Protocol::Http1);
    let long = "a".repeat(300);
    let target = format!("GET /{long} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = http1(connect().await.unwrap(), target).await;
    assert!(answer.starts_with("HTTP/1.1 414 ") && answer.contains("max_uri_bytes"), "{answer}");
    let fields: String = (0..20).map(|index| format!("x-{index}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
    let answer = http1(connect().await.unwrap(), many).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "b".repeat(64 << 10));
    let answer = http1(connect().await.unwrap(), huge).await;
    assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");

    let quic = h3::connect(&server, &client).await.unwrap();
    assert!(h3::get(&quic, &format!("/{long}")).await.unwrap().contains("max_uri_bytes"));
    let mut peer = h2::Peer::new(&server).await;
    let names: Vec<String> = (0..20).map(|index| format!("x-{index}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let block = h2::get("/", &fields);
    peer.send(&h2::frame(h2::HEADERS, h2::END_HEADERS | h2::END_STREAM, 1, &block)).await;
    assert_eq!(peer.outcome().await, h2::Outcome::Answer);
    assert_eq!(server.refused("max_uri_bytes"), 2);
    server.until_refused("max_header_count", 1).await;
    server.until_refused("max_header_bytes", 1).await;
    server.is_healthy().await;
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let server = Server::start(|config, _| config.limits.max_connections_per_address = 2);
    let client = server.client(None);
    let first = server.tls(&client, Protocol::Http1).await.unwrap();
    let second = h3::raw(&server, &client).await.unwrap();
    assert!(server.tls(&client, Protocol::Http1).await.is_err());
    assert!(h3::raw(&server, &client).await.is_err());
    assert_eq!(server.refused("max_connections_per_address"), 2);
    second.connection.close(0_u32.into(), b"");
    drop(first);
    server.until_empty().await;
    server.tls(&client, Protocol::Http1).await.unwrap();
}

#[tokio::test]
async fn those_who_are_slow_are_let_go() {
    let server = Server::start(|config, _| {
        config.limits.handshake_timeout_ms = 150;
        config.limits.header_timeout_ms = 150;
        config.limits.body_timeout_ms = 150;
    });
    let client = server.client(None);
    // Nothing but a connection.
    assert_eq!(read_all(tokio::net::TcpStream::connect(server.inet()).await.unwrap()).await, "");
    server.until_refused("handshake", 1).await;
    // TLS, and then nothing, or half of what HTTP begins with.
    assert_eq!(read_all(server.tls(&client, Protocol::Http2).await.unwrap()).await, "");
    let mut half = server.tls(&client, Protocol::Http1).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let _said = read_all(half).await;
    server.until_refused("header_timeout_ms", 2).await;
    // An answer, and then no further question.
    let mut idle = server.tls(&client, Protocol::Http1).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(idle).await.contains("200 OK"));
    // A request whose headers never come over HTTP/3.
    let quic = h3::raw(&server, &client).await.unwrap();
    let _control = quic.control().await;
    let (_send, recv) = quic.request(&[h3::HEADERS]).await;
    assert_eq!(h3::reset_with(recv).await, Some(h3::H3_REQUEST_CANCELLED));
    server.until_refused("header_timeout_ms", 4).await;
    // A body that stops half-way, in each protocol.
    let slow = "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhalf";
    let answer = http1(server.tls(&client, Protocol::Http1).await.unwrap(), slow).await;
    assert!(answer.contains("paused for too long"), "{answer}");
    assert_eq!(server.refused("body_timeout_ms"), 1);
    server.is_healthy().await;
    server.drain.start();
    server.serving.await.unwrap();
}

#[tokio::test]
async fn a_full_listener_answers() {
    let server = Server::start(|config, _| config.limits.max_requests_in_flight = 1);
    let client = server.client(None);
    let mut held = server.tls(&client, Protocol::Http1).await.unwrap();
    held.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let in_flight = "omnirelay_listener_in_flight{listener=\"test\"}";
    eventually(|| server.metric(in_flight) == 1, || "the call did not arrive".to_owned()).await;
    let answer = http1(server.tls(&client, Protocol::Http1).await.unwrap(), ASK).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let quic = h3::connect(&server, &client).await.unwrap();
    assert!(h3::get(&quic, "/").await.unwrap().contains("max_requests_in_flight"));
    drop(held);
    server.is_healthy().await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_over_http_2() {
    let server = Server::start(|config, _| config.limits.max_resets_per_second = 100);
    let mut peer = h2::Peer::new(&server).await;
    let block = h2::get("/never", &[]);
    let mut stream = 1;
    // CVE-2023-44487: open and give up, far from the bound on streams at once.
    let outcome = loop {
        let mut pair = h2::frame(h2::HEADERS, h2::END_HEADERS | h2::END_STREAM, stream, &block);
        pair.extend(h2::frame(h2::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if !peer.send(&pair).await || stream > 20_000 {
            break peer.outcome().await;
        }
        stream += 2;
    };
    assert!(stream < 20_000, "{outcome:?}");
    let counted = || server.refused("max_resets_per_second") + server.refused("flood");
    eventually(|| counted() >= 1, || format!("{outcome:?} was not counted")).await;
    server.until_empty().await;
    server.is_healthy().await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_over_http_3() {
    let server = Server::start(|config, _| config.limits.max_resets_per_second = 100);
    let client = server.client(None);
    let quic = h3::raw(&server, &client).await.unwrap();
    let _control = quic.control().await;
    let cancel = h3::H3_REQUEST_CANCELLED.into();
    let giving_up = async {
        loop {
            let Ok((mut send, mut recv)) = quic.connection.open_bi().await else { break };
            let _cut = send.write_all(&h3::frame(h3::HEADERS, h3::GET)).await;
            let _gone = (send.reset(cancel), recv.stop(cancel));
        }
    };
    let (code, ()) = tokio::join!(quic.closed_with(), giving_up);
    assert_eq!(code, Ok(h3::H3_EXCESSIVE_LOAD));
    assert_eq!(server.refused("max_resets_per_second"), 1);
    server.until_empty().await;
    server.is_healthy().await;
}

#[tokio::test]
async fn a_connection_has_its_share_of_requests_over_http_3() {
    let server = Server::start(|config, _| config.limits.max_streams_per_connection = 4);
    let client = server.client(None);
    let quic = h3::raw(&server, &client).await.unwrap();
    let _control = quic.control().await;
    let mut block = h3::GET.to_vec();
    block[4] = 0x51; // `:path` with a value of its own
    block.splice(5..5, [6].into_iter().chain(*b"/never"));
    let in_flight = "omnirelay_listener_in_flight{listener=\"test\"}";
    let mut held = Vec::new();
    for count in 1..=4 {
        held.push(quic.request(&h3::frame(h3::HEADERS, &block)).await);
        eventually(|| server.metric(in_flight) >= count, || format!("call {count} did not arrive")).await;
    }
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), async {
        let (_send, recv) = quic.request(&h3::frame(h3::HEADERS, &block)).await;
        h3::reset_with(recv).await
    });
    // Either QUIC itself gives no stream, or the request is refused unprocessed.
    assert!(matches!(more.await, Err(_) | Ok(Some(0x10b))));
    assert_eq!(server.metric(in_flight), 4);
}

#[tokio::test]
async fn under_load_a_quic_client_proves_its_address() {
    let server = Server::start(|config, _| config.limits.retry_above_handshakes = 0);
    let client = server.client(None);
    // One handshake that never completes, over TCP, is above the bound.
    let _open = tokio::net::TcpStream::connect(server.inet()).await.unwrap();
    let open = "omnirelay_listener_open_connections{listener=\"test\"}";
    eventually(|| server.metric(open) == 1, || "the connection did not arrive".to_owned()).await;
    let quic = h3::connect(&server, &client).await.unwrap();
    assert_eq!(h3::get(&quic, "/").await.unwrap(), "ok");
    assert_eq!(server.refused("retry_above_handshakes"), 1);
}

#[tokio::test]
async fn who_never_reads_is_let_go() {
    let server = Server::start(|config, _| config.limits.send_timeout_ms = 500);
    let client = server.client(None);
    let mut stream = server.tls(&client, Protocol::Http1).await.unwrap();
    // Answers until every buffer between is full, and nobody who takes them.
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let asking = async { while stream.write_all(&ask).await.is_ok() {} };
    let ended = tokio::time::timeout(support::LONG, asking).await;
    assert!(ended.is_ok(), "the listener waits for ever");
    server.until_refused("send_timeout_ms", 1).await;
    server.until_idle().await;
    server.is_healthy().await;
}

/// SETTINGS with a flow-control window of so many bytes for each stream (RFC 9113, section 6.5.2).
fn window(bytes: u32) -> Vec<u8> {
    let setting = [&[0, 4][..], &bytes.to_be_bytes()].concat();
    h2::frame(h2::SETTINGS, 0, 0, &setting)
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_is_reset_over_http_2() {
    let server = Server::start(|config, _| config.limits.send_timeout_ms = 150);
    // No window at all, and one that is full in the middle.
    for (count, (bytes, path)) in [(0, "/"), (0, "/long"), (100_000, "/long")].into_iter().enumerate() {
        let mut peer = h2::Peer::silent(&server).await;
        peer.send(h2::PREFACE).await;
        peer.send(&window(bytes)).await;
        // Open for the connection as a whole.
        peer.send(&h2::frame(h2::WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes())).await;
        let ask = h2::frame(h2::HEADERS, h2::END_HEADERS | h2::END_STREAM, 1, &h2::get(path, &[]));
        peer.send(&ask).await;
        assert_eq!(peer.outcome().await, h2::Outcome::Reset(h2::CANCEL), "{bytes} {path}");
        server.until_idle().await;
        assert_eq!(server.refused("send_timeout_ms"), i64::try_from(count).unwrap() + 1);
        // The connection goes on.
        peer.send(&h2::frame(h2::PING, 0, 0, &[0; 8])).await;
        assert_eq!(peer.outcome().await, h2::Outcome::Pong);
    }
    server.is_healthy().await;
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_is_reset_over_http_3() {
    let server = Server::start(|config, _| config.limits.send_timeout_ms = 150);
    let client = server.client(None);
    let mut long = h3::GET.to_vec();
    long[4] = 0x51; // `:path` with a value of its own
    long.splice(5..5, [5].into_iter().chain(*b"/long"));
    for (count, bytes) in [40_u32, 100_000].into_iter().enumerate() {
        let mut transport = quinn::TransportConfig::default();
        transport.stream_receive_window(bytes.into());
        let quic = h3::raw_with(&server, &client, transport).await.unwrap();
        let _control = quic.control().await;
        let (mut send, recv) = quic.request(&h3::frame(h3::HEADERS, &long)).await;
        send.finish().unwrap();
        server.until_refused("send_timeout_ms", i64::try_from(count).unwrap() + 1).await;
        server.until_idle().await;
        assert_eq!(h3::reset_with(recv).await, Some(h3::H3_REQUEST_CANCELLED), "{bytes}");
    }
    // Without any window not even the settings get through.
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(0_u32.into());
    let quic = h3::raw_with(&server, &client, transport).await.unwrap();
    assert_eq!(quic.closed_with().await, Ok(h3::H3_GENERAL_PROTOCOL_ERROR));
    server.until_refused("send_timeout_ms", 3).await;
    server.is_healthy().await;
}

#[tokio::test]
async fn an_answer_that_is_slow_to_come_holds_nobody_up() {
    // The service takes its time, and its client has taken everything there was: no bound is met.
    let service = tower::service_fn(|_request: http::Request<Body>| async {
        let pieces = futures_util::stream::unfold(0, |piece| async move {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            (piece < 4)
                .then(|| (Ok::<_, std::convert::Infallible>(http_body::Frame::data("ok".into())), piece + 1))
        });
        Ok(http::Response::new(body::boxed(http_body_util::StreamBody::new(pieces))))
    });
    let server = Server::serving(service, |config, _| config.limits.send_timeout_ms = 50);
    let client = server.client(None);
    let stream = server.tls(&client, Protocol::Http2).await.unwrap();
    assert_eq!(support::http2(stream, "/").await.unwrap(), "okokokok");
    let quic = h3::connect(&server, &client).await.unwrap();
    assert_eq!(h3::get(&quic, "/").await.unwrap(), "okokokok");
    assert_eq!(server.refused("send_timeout_ms"), 0);
}
