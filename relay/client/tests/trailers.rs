//! Requests frame by frame: trailers that hold nothing are never sent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use quinn::crypto::rustls::QuicServerConfig;
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, body, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// The kinds of the frames that a request is made of, without DATA that is empty.
type Kinds = Vec<u8>;

fn server_tls(ca: &TestCa, protocol: Protocol) -> ServerConfig {
    tls::server_config(&ca.server_tls("spiffe://test/server/raw"), &[protocol]).unwrap()
}

/// HTTP/2 by hand: settings, and `:status: 200` for each request that has ended.
async fn http2(ca: &TestCa, tell: mpsc::UnboundedSender<Kinds>) -> SocketAddr {
    const SETTINGS: u8 = 4;
    let acceptor = TlsAcceptor::from(Arc::new(server_tls(ca, Protocol::Http2)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags], &stream.to_be_bytes()[..], payload].concat()
    };
    omnirelay_runtime::spawn("raw-http2", async move {
        let mut io = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        io.read_exact(&mut [0; 24]).await.unwrap();
        io.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        let mut kinds = Kinds::new();
        let mut head = [0; 9];
        while io.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            io.read_exact(&mut vec![0; length as usize]).await.unwrap();
            if kind == SETTINGS && flags == 0 {
                io.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
            }
            if kind == HEADERS || (kind == DATA && length > 0) {
                kinds.push(kind);
            }
            if matches!(kind, HEADERS | DATA) && flags & 1 != 0 {
                tell.send(std::mem::take(&mut kinds)).unwrap();
                io.write_all(&frame(HEADERS, 5, u32::from_be_bytes(stream), &[0x88])).await.unwrap();
            }
            io.flush().await.unwrap();
        }
    });
    address
}

/// HTTP/3 by hand: empty settings, and `:status: 200` for each request that has ended.
fn http3(ca: &TestCa, tell: mpsc::UnboundedSender<Kinds>) -> SocketAddr {
    let crypto = QuicServerConfig::try_from(server_tls(ca, Protocol::Http3)).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    omnirelay_runtime::spawn("raw-http3", async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(&[0, 4, 0]).await.unwrap();
        while let Ok((mut send, mut recv)) = connection.accept_bi().await {
            let request = recv.read_to_end(1 << 16).await.unwrap();
            let (mut kinds, mut rest) = (Kinds::new(), &request[..]);
            while let [kind, length, tail @ ..] = rest {
                let (length, tail) = match length >> 6 {
                    0 => (usize::from(*length), tail),
                    1 => (usize::from(length & 0x3f) << 8 | usize::from(tail[0]), &tail[1..]),
                    _ => panic!("a longer frame than any here"),
                };
                if *kind == HEADERS || length > 0 {
                    kinds.push(*kind);
                }
                rest = &tail[length..];
            }
            tell.send(kinds).unwrap();
            send.write_all(&[HEADERS, 3, 0, 0, 0xd9]).await.unwrap();
            send.finish().unwrap();
        }
    });
    address
}

fn streamed(frames: Vec<Frame<Bytes>>) -> Body {
    body::boxed(StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok::<_, Infallible>))))
}

#[tokio::test]
async fn trailers_that_hold_nothing_are_no_frame() {
    let data = || Frame::data(Bytes::from_static(b"data"));
    let some =
        HeaderMap::from_iter([(http::HeaderName::from_static("x-end"), HeaderValue::from_static("here"))]);
    for protocol in [Protocol::Http2, Protocol::Http3] {
        let ca = TestCa::new();
        let (tell, mut told) = mpsc::unbounded_channel();
        let address = match protocol {
            Protocol::Http3 => http3(&ca, tell),
            _ => http2(&ca, tell).await,
        };
        let mut config =
            ChannelConfig::new(format!("https://localhost:{}", address.port()), ca.client_tls(None));
        config.protocols = vec![protocol];
        config.connect_timeout = Duration::from_secs(20);
        let channel = Channel::new(&config).unwrap();
        for (what, body, expected) in [
            ("a whole body", body::full("data"), &[HEADERS, DATA][..]),
            ("no body", body::empty(), &[HEADERS]),
            (
                "empty trailers of a whole body",
                body::with_trailers("data", HeaderMap::new()),
                &[HEADERS, DATA],
            ),
            (
                "empty trailers of a stream",
                streamed(vec![data(), Frame::trailers(HeaderMap::new())]),
                &[HEADERS, DATA],
            ),
            ("empty trailers alone", streamed(vec![Frame::trailers(HeaderMap::new())]), &[HEADERS]),
            ("trailers", streamed(vec![data(), Frame::trailers(some.clone())]), &[HEADERS, DATA, HEADERS]),
        ] {
            let request = Request::post("/").body(body).unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(20), channel.send(request)).await;
            assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK, "{protocol}: {what}");
            assert_eq!(told.recv().await.unwrap(), expected, "{protocol}: {what}");
        }
    }
}
