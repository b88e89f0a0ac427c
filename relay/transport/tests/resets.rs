//! Messages that break off: a reset with the code that says why, in either direction, and never an
//! end that looks clean (RFC 9113, section 8.1; RFC 9114, section 4.1; gRPC's `PROTOCOL-HTTP2.md` and
//! proposal G2).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;

use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use relay_core::{Code, Status};
use relay_transport::{Body, body};
use support::{LONG, Server, eventually, h2, h3};
use tokio::sync::mpsc;

/// An answer that breaks off after its first piece with the code that the path names by its number.
async fn breaking(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let number = request.uri().path().trim_start_matches('/').parse().unwrap();
    let frames = [
        Ok(Frame::data("begun".into())),
        Err(Status::new(Code::from_grpc(number), "it broke")),
        // Nothing of this is ever asked for.
        Ok(Frame::data("ended".into())),
    ];
    Ok(Response::new(body::boxed(StreamBody::new(futures_util::stream::iter(frames)))))
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_with_its_code() {
    let server = Server::serving(tower::service_fn(breaking), |_, _| {});
    let quic = h3::raw(&server, &server.client(None)).await.unwrap();
    let _control = quic.control().await;
    let mut peer = h2::Peer::new(&server).await;
    let mut stream = 1;
    for code in Code::all().skip(1) {
        let path = format!("/{}", code.grpc());
        let ask = h2::frame(h2::HEADERS, h2::END_HEADERS | h2::END_STREAM, stream, &h2::get(&path, &[]));
        peer.send(&ask).await;
        assert_eq!(peer.outcome().await, h2::Outcome::Reset(code.h2_reset()), "{code}");
        stream += 2;

        let mut block = h3::GET.to_vec();
        block[4] = 0x51; // `:path` with a value of its own
        block.splice(5..5, [u8::try_from(path.len()).unwrap()].into_iter().chain(path.bytes()));
        let (mut send, recv) = quic.request(&h3::frame(h3::HEADERS, &block)).await;
        send.finish().unwrap();
        let reset = h3::reset_with(recv).await.map(u64::from);
        assert_eq!(reset, Some(code.h3_reset()), "{code}");
    }
    server.until_idle().await;
}

/// Tells how each request's body ended.
fn reading(
    told: mpsc::UnboundedSender<Result<usize, Code>>,
) -> impl tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |request: Request<Body>| {
        let told = told.clone();
        async move {
            let read = body::collect_limited(request.into_body(), usize::MAX).await;
            told.send(read.map(|bytes| bytes.len()).map_err(|status| status.code)).unwrap();
            Ok(Response::new(body::empty()))
        }
    })
}

#[tokio::test]
async fn a_request_that_is_cut_short_never_looks_complete() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::serving(reading(tell), |_, _| {});
    let mut peer = h2::Peer::new(&server).await;
    let quic = h3::raw(&server, &server.client(None)).await.unwrap();
    let _control = quic.control().await;
    let mut stream = 1;
    for (over_http2, over_http3, code) in [
        (0, 0x100, Code::Internal),
        (2, 0x102, Code::Internal),
        (7, 0x10b, Code::Unavailable),
        (8, 0x10c, Code::Cancelled),
        (0xb, 0x107, Code::ResourceExhausted),
    ] {
        peer.send(&h2::frame(h2::HEADERS, h2::END_HEADERS, stream, h2::POST)).await;
        peer.send(&h2::frame(h2::DATA, 0, stream, b"half")).await;
        // Its answer says that everything before it was read.
        peer.send(&h2::frame(h2::PING, 0, 0, &[0; 8])).await;
        assert_eq!(peer.outcome().await, h2::Outcome::Pong);
        peer.send(&h2::frame(h2::RST_STREAM, 0, stream, &u32::to_be_bytes(over_http2))).await;
        let read = tokio::time::timeout(LONG, told.recv()).await.unwrap().unwrap();
        assert_eq!(read, Err(code), "HTTP/2 {over_http2:#x}");
        stream += 2;

        let mut bytes = h3::frame(h3::HEADERS, h3::GET);
        bytes.extend(h3::frame(h3::DATA, b"half"));
        server.until_idle().await;
        let (mut send, _recv) = quic.request(&bytes).await;
        // A reset may overtake what was sent before it, and then the request is not even seen.
        let in_flight = || server.metric("omnirelay_listener_in_flight{listener=\"test\"}");
        eventually(|| in_flight() == 1, || "the request did not arrive".to_owned()).await;
        send.reset(u32::into(over_http3)).unwrap();
        let read = tokio::time::timeout(LONG, told.recv()).await.unwrap().unwrap();
        assert_eq!(read, Err(code), "HTTP/3 {over_http3:#x}");
    }
}
