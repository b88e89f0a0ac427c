//! The ways to a listener beside TLS: socket files, plain text at home, and trusted proxies.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use omnirelay_runtime::Metrics;
use relay_core::Protocol;
use relay_transport::{ListenAddress, Listener, ListenerConfig, ProxyProtocolConfig};
use support::{Server, http1, http2};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const ASK: &str = "GET /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// PROXY protocol, version 2: TCP over IPv4 from 192.0.2.7:12345 to 198.51.100.1:443.
fn proxied() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb]);
    header
}

fn trust(network: &str) -> Option<ProxyProtocolConfig> {
    Some(ProxyProtocolConfig { trusted: vec![network.parse().unwrap()] })
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_file_carries_both_protocols_and_says_who_calls() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use tokio::net::UnixStream;

    let server = Server::start(|config, ca| {
        *config = ListenerConfig::without_tls(ListenAddress::Unix(ca.dir().join("relay.sock")));
        config.socket_mode = "0660".to_owned().try_into().unwrap();
    });
    let path = server.address.unix().unwrap();
    let file = std::fs::metadata(path).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o660);

    let answer = http1(UnixStream::connect(path).await.unwrap(), ASK).await;
    let caller = format!("http1 uid:{} nobody", file.uid());
    assert!(answer.contains(&caller), "{answer}");
    assert!(!answer.to_lowercase().contains("alt-svc"), "there is no HTTP/3 at a socket file: {answer}");
    let answer = http2(UnixStream::connect(path).await.unwrap(), "/who").await.unwrap();
    assert_eq!(answer.trim(), format!("http2 uid:{} nobody", file.uid()));

    let path = path.to_owned();
    server.drain.start();
    server.serving.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn plain_text_is_spoken_at_home_where_asked_for() {
    let server = Server::start(|config, _| {
        *config = ListenerConfig::without_tls(([127, 0, 0, 1], 0).into());
    });
    let connect = || TcpStream::connect(server.inet());
    let answer = http1(connect().await.unwrap(), ASK).await;
    assert!(answer.contains("http1 127.0.0.1:"), "{answer}");
    assert!(!answer.to_lowercase().contains("alt-svc"), "there is no HTTP/3 in the clear: {answer}");
    assert!(http2(connect().await.unwrap(), "/who").await.unwrap().starts_with("http2 127.0.0.1:"));
}

#[tokio::test]
async fn plain_text_for_others_is_refused_with_a_remedy() {
    let mut config = ListenerConfig::without_tls(([0, 0, 0, 0], 0).into());
    let refuse = |config: &ListenerConfig| {
        let refused = Listener::bind("test", config, &Metrics::default()).err().unwrap();
        (refused.to_string(), refused.hint_text().unwrap().to_owned())
    };
    let (problem, hint) = refuse(&config);
    assert!(problem.contains("test.plaintext") && hint.contains("127.0.0.1"), "{problem} {hint}");
    config.plaintext = false;
    assert!(refuse(&config).0.contains("test.tls"));
    config.address = "unix:/nonexistent/a.sock".parse().unwrap();
    assert!(refuse(&config).1.contains("make the folder"));
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_source() {
    let server = Server::start(|config, _| config.proxy_protocol = trust("127.0.0.0/8"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut stream = TcpStream::connect(server.inet()).await.unwrap();
        stream.write_all(&proxied()).await.unwrap();
        let stream = server.tls_over(stream, &server.client(None), protocol).await.unwrap();
        let answer = match protocol {
            Protocol::Http2 => http2(stream, "/who").await.unwrap(),
            _ => http1(stream, ASK).await,
        };
        assert!(answer.contains(&format!("{protocol} 192.0.2.7:12345 nobody 127.0.0.1")), "{answer}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_has_to_speak_first_and_rightly() {
    let server = Server::start(|config, _| {
        config.proxy_protocol = trust("127.0.0.1");
        config.limits.handshake_timeout_ms = 200;
    });
    let mut wrong = proxied();
    wrong[12] = 0x31;
    let too_long = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    let version_1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\n".to_vec();
    let cut = proxied()[..20].to_vec();
    for (count, bytes) in (1..).zip([wrong, too_long, version_1, cut]) {
        let stream = TcpStream::connect(server.inet()).await.unwrap();
        assert_eq!(http1(stream, bytes).await, "");
        server.until_refused("proxy_protocol", count).await;
    }
    server.until_empty().await;
}

#[tokio::test]
async fn nobody_else_may_send_a_proxy_header() {
    let server = Server::start(|config, _| config.proxy_protocol = trust("10.0.0.0/8"));
    let mut stream = TcpStream::connect(server.inet()).await.unwrap();
    stream.write_all(&proxied()).await.unwrap();
    assert!(server.tls_over(stream, &server.client(None), Protocol::Http1).await.is_err());
    server.until_refused("handshake", 1).await;
    server.is_healthy().await;
}

#[tokio::test]
async fn http_3_is_advertised_only_where_it_is_served() {
    for (protocols, advertised) in
        [(Protocol::ALL.to_vec(), true), (vec![Protocol::Http2, Protocol::Http1], false)]
    {
        let server = Server::start(|config, _| config.protocols = protocols);
        let stream = server.tls(&server.client(None), Protocol::Http1).await.unwrap();
        let answer = http1(stream, ASK).await.to_lowercase();
        let port = server.address.port();
        assert_eq!(answer.contains(&format!("alt-svc: h3=\":{port}\"; ma=3600")), advertised, "{answer}");
        assert_eq!(answer.contains("alt-svc"), advertised, "{answer}");
    }
}
