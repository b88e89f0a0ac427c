//! How answers end, frame by frame: trailers that hold nothing are never sent, and what is dropped is reset.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use quinn::crypto::rustls::QuicServerConfig;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::quic::{Connection, H3_REQUEST_CANCELLED, Side};
use relay_transport::{Body, body, tls};
use support::{LONG, Server, h2, h3, http1};

fn streamed(frames: Vec<Frame<Bytes>>) -> Body {
    body::boxed(StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok::<_, Infallible>))))
}

fn data() -> Frame<Bytes> {
    Frame::data("data".into())
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-end"), HeaderValue::from_static("here"))])
}

/// Answers without trailers, whichever way that is said; `/some` is the one that has some.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(match request.uri().path() {
        "/some" => streamed(vec![data(), Frame::trailers(trailers())]),
        "/streamed" => streamed(vec![data(), Frame::trailers(HeaderMap::new())]),
        "/alone" => streamed(vec![Frame::trailers(HeaderMap::new())]),
        "/known" => body::with_trailers("data", HeaderMap::new()),
        _ => streamed(vec![data()]),
    }))
}

const WITHOUT: [(&str, usize); 4] = [("/streamed", 4), ("/alone", 0), ("/known", 4), ("/none", 4)];

#[tokio::test]
async fn trailers_that_hold_nothing_are_no_frame_of_http_2() {
    let server = Server::serving(tower::service_fn(answer), |_, _| {});
    let mut peer = h2::Peer::new(&server).await;
    let mut stream = 1;
    for (path, length) in WITHOUT.into_iter().chain([("/some", 4)]) {
        let request = h2::get(path, &[("te", "trailers")]);
        peer.send(&h2::frame(h2::HEADERS, h2::END_HEADERS | h2::END_STREAM, stream, &request)).await;
        let frames = peer.stream(stream).await;
        let sections = frames.iter().filter(|(kind, ..)| *kind == h2::HEADERS).count();
        assert_eq!(sections, if path == "/some" { 2 } else { 1 }, "{path}: {frames:?}");
        let sent: usize =
            frames.iter().filter(|(kind, ..)| *kind == h2::DATA).map(|(.., length)| length).sum();
        assert_eq!(sent, length, "{path}: {frames:?}");
        let (_, flags, _) = frames.last().unwrap();
        assert!(flags & h2::END_STREAM != 0, "{path}: {frames:?}");
        stream += 2;
    }
}

#[tokio::test]
async fn trailers_that_hold_nothing_are_no_frame_of_http_3() {
    let server = Server::serving(tower::service_fn(answer), |_, _| {});
    let peer = h3::raw(&server, &server.client(None)).await.unwrap();
    let _control = peer.control().await;
    for (path, length) in WITHOUT.into_iter().chain([("/some", 4)]) {
        let mut block = h3::GET.to_vec();
        block[4] = 0x51; // `:path` with a value of its own
        block.splice(5..5, [u8::try_from(path.len()).unwrap()].into_iter().chain(path.bytes()));
        let (mut send, mut recv) = peer.request(&h3::frame(h3::HEADERS, &block)).await;
        send.finish().unwrap();
        let answer = tokio::time::timeout(LONG, recv.read_to_end(1 << 16)).await.unwrap().unwrap();
        let frames = h3::frames(&answer);
        let sections = frames.iter().filter(|(kind, _)| *kind == u64::from(h3::HEADERS)).count();
        assert_eq!(sections, if path == "/some" { 2 } else { 1 }, "{path}: {frames:?}");
        let pieces = frames.iter().filter(|(kind, _)| *kind == u64::from(h3::DATA));
        assert_eq!(pieces.map(|(_, piece)| piece.len()).sum::<usize>(), length, "{path}: {frames:?}");
    }
}

#[tokio::test]
async fn trailers_that_hold_nothing_are_no_line_of_http_1() {
    let server = Server::serving(tower::service_fn(answer), |_, _| {});
    let client = server.client(None);
    for path in ["/streamed", "/alone"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n");
        let answer = http1(server.tls(&client, Protocol::Http1).await.unwrap(), request).await;
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "{path}: {answer:?}");
    }
}

/// The seam itself: h3's own streams know of no reset where they are dropped.
#[tokio::test]
async fn a_half_of_http_3_that_is_dropped_before_its_end_is_reset() {
    let ca = TestCa::new();
    let config = tls::server_config(&ca.server_tls("spiffe://test/server"), &[Protocol::Http3]).unwrap();
    let crypto = Arc::new(QuicServerConfig::try_from(config).unwrap());
    let server =
        quinn::Endpoint::server(quinn::ServerConfig::with_crypto(crypto), ([127, 0, 0, 1], 0).into())
            .unwrap();
    let address = server.local_addr().unwrap();
    let serving = omnirelay_runtime::spawn("dropping", async move {
        let connection = server.accept().await.unwrap().await.unwrap();
        let mut serving =
            ::h3::server::Connection::<_, Bytes>::new(Connection::new(connection, Side::Server, 1 << 16))
                .await
                .unwrap();
        for whole in [false, true] {
            let resolver = serving.accept().await.unwrap().unwrap();
            let (_request, mut stream) = resolver.resolve_request().await.unwrap();
            stream.send_response(Response::new(())).await.unwrap();
            stream.send_data("half".into()).await.unwrap();
            if whole {
                stream.finish().await.unwrap();
            }
        }
        let _goodbye = serving.accept().await;
    });
    let (peer, control) = {
        let endpoint = h3::endpoint();
        let tls = tls::client_config(&ca.client_tls(None), &[Protocol::Http3]).unwrap();
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connection = endpoint.connect_with(config, address, "localhost").unwrap().await.unwrap();
        let peer = h3::Peer { endpoint, connection };
        let control = peer.control().await;
        (peer, control)
    };
    for expected in [Some(H3_REQUEST_CANCELLED), None] {
        let (mut send, recv) = peer.request(&h3::frame(h3::HEADERS, h3::GET)).await;
        send.finish().unwrap();
        assert_eq!(h3::reset_with(recv).await, expected);
    }
    drop(control);
    peer.connection.close(0x100_u32.into(), b"");
    tokio::time::timeout(LONG, serving).await.unwrap().unwrap();
}
