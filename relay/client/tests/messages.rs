//! What a message looks like at the other end: trailers, cuts, cancellations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use relay_core::{Code, Protocol, Status};
use relay_transport::{Body, Limits, body};
use support::{Server, get, post};
use tokio::sync::Notify;

const WITH_TRAILERS: [Protocol; 2] = [Protocol::Http3, Protocol::Http2];

fn frames(frames: Vec<Frame<Bytes>>) -> Body {
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

fn data(size: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![b'x'; size]))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-end"), HeaderValue::from_static("here"))])
}

/// `/trailers` with a body of 65 535 bytes, `/empty-trailers` with trailers that hold nothing,
/// `/panics` with an answer that is lost half-way by a fault of the server, `/pauses` with one that never goes on.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(match request.uri().path() {
        "/trailers" => frames(vec![data(65_535), Frame::trailers(trailers())]),
        "/empty-trailers" => frames(vec![data(10), Frame::trailers(HeaderMap::new())]),
        "/panics" => body::boxed(Half(Then::Panic, false)),
        "/pauses" => body::boxed(Half(Then::Pause, false)),
        _ => request.into_body(),
    }))
}

/// What comes after the first piece of an answer.
#[derive(Clone, Copy)]
enum Then {
    Panic,
    Pause,
}

/// One piece, and then no end.
struct Half(Then, bool);

impl http_body::Body for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (std::mem::replace(&mut self.1, true), self.0) {
            (false, _) => Poll::Ready(Some(Ok(data(1)))),
            (true, Then::Pause) => Poll::Pending,
            (true, Then::Panic) => panic!("on purpose"),
        }
    }
}

fn start() -> Server {
    Server::start(&Protocol::ALL, Limits::default(), tower::service_fn(answer))
}

#[tokio::test]
async fn a_body_of_65535_bytes_keeps_its_trailers_both_ways() {
    let server = start();
    for protocol in WITH_TRAILERS {
        let channel = server.channel(&[protocol]);
        let answer = channel.send(get("/trailers")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.trailers(), Some(&trailers()), "{protocol}");
        assert_eq!(answer.to_bytes().len(), 65_535, "{protocol}");
        let sent = frames(vec![data(65_535), Frame::trailers(trailers())]);
        let answer = channel.send(Request::post("/echo").body(sent).unwrap()).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers(), Some(&trailers()), "{protocol}");
        assert_eq!(answer.to_bytes().len(), 65_535, "{protocol}");
    }
}

#[tokio::test]
async fn trailers_that_hold_nothing_are_never_sent() {
    let server = start();
    for protocol in WITH_TRAILERS {
        let channel = server.channel(&[protocol]);
        let answer = channel.send(get("/empty-trailers")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.trailers(), None, "{protocol}: of an answer");
        let sent = frames(vec![data(10), Frame::trailers(HeaderMap::new())]);
        let answer = channel.send(Request::post("/echo").body(sent).unwrap()).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers(), None, "{protocol}: of a request");
        assert_eq!(answer.to_bytes().len(), 10, "{protocol}");
    }
}

#[tokio::test]
async fn an_answer_whose_body_panics_is_reset() {
    let server = start();
    for (count, protocol) in (1..).zip(Protocol::ALL) {
        // The head may not be out yet either; whichever it is, it is an error.
        if let Ok(answer) = server.channel(&[protocol]).send(get("/panics")).await {
            assert!(answer.into_body().collect().await.is_err(), "{protocol}: it looked complete");
        }
        let panics = format!("panics_total{{listener=\"test\"}} {count}\n");
        assert!(server.metrics.render().contains(&panics), "{protocol}: nothing was dropped");
    }
}

/// Over HTTP/3, whose workers have threads of their own, `relay_transport`'s tests drop the stream itself.
#[tokio::test]
async fn an_answer_that_goes_down_with_its_server_never_looks_complete() {
    for protocol in [Protocol::Http2, Protocol::Http1] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = {
            let _entered = runtime.enter();
            Server::start(&[protocol], Limits::default(), tower::service_fn(answer))
        };
        let mut answer = server.channel(&[protocol]).send(get("/pauses")).await.unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1);
        // All its tasks are dropped where they are.
        runtime.shutdown_background();
        let end = tokio::time::timeout(Duration::from_secs(20), answer.frame()).await;
        let end = end.unwrap_or_else(|_elapsed| panic!("{protocol}: it goes on"));
        assert!(end.is_some_and(|frame| frame.is_err()), "{protocol}: it looked complete");
    }
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A service whose handler waits for ever, and tells when it began and when it was dropped.
fn waiting_server() -> (Server, Arc<Notify>, Arc<Notify>) {
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = {
        let (begun, dropped) = (Arc::clone(&begun), Arc::clone(&dropped));
        tower::service_fn(move |request: Request<Body>| {
            let (begun, dropped) = (Arc::clone(&begun), Dropped(Arc::clone(&dropped)));
            async move {
                let streams = request.uri().path() == "/stream";
                begun.notify_one();
                if streams {
                    return Ok(Response::new(body::boxed(Silent(dropped, false))));
                }
                let _held = (dropped, request);
                std::future::pending::<Result<Response<Body>, Infallible>>().await
            }
        })
    };
    (Server::start(&Protocol::ALL, Limits::default(), service), begun, dropped)
}

/// One piece, then nothing for ever.
struct Silent(#[allow(dead_code, reason = "held for its drop")] Dropped, bool);

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(data(1))))
    }
}

async fn soon(what: &str, event: &Notify) {
    let waited = tokio::time::timeout(Duration::from_secs(5), event.notified()).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test]
async fn a_handler_is_dropped_as_soon_as_its_caller_is_gone() {
    let (server, begun, dropped) = waiting_server();
    for protocol in WITH_TRAILERS {
        let channel = server.channel(&[protocol]);
        // With the whole request sent, and in the middle of it.
        let unfinished = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        for request in [post("/", "whole"), Request::post("/").body(body::boxed(unfinished)).unwrap()] {
            let call = {
                let channel = channel.clone();
                omnirelay_runtime::spawn("call", async move { channel.send(request).await.map(drop) })
            };
            soon("no call began", &begun).await;
            assert_eq!(server.stats.in_flight(), 1, "{protocol}");
            call.abort();
            soon(&format!("{protocol}: the handler goes on for nobody"), &dropped).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_waits_is_dropped_as_soon_as_its_caller_is_gone() {
    let (server, _begun, dropped) = waiting_server();
    for protocol in WITH_TRAILERS {
        let channel = server.channel(&[protocol]);
        let mut answer = channel.send(get("/stream")).await.unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1);
        drop(answer);
        soon(&format!("{protocol}: the answer goes on for nobody"), &dropped).await;
    }
}

#[tokio::test]
async fn what_breaks_off_gives_its_code_at_the_other_end() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let begun = Arc::new(Notify::new());
    let arrived = Arc::clone(&begun);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (tell, arrived) = (tell.clone(), Arc::clone(&arrived));
        async move {
            let number: Option<u32> = request.uri().path().trim_start_matches('/').parse().ok();
            if let Some(number) = number {
                return Ok(Response::new(breaking(Code::from_grpc(number), None)));
            }
            arrived.notify_one();
            let read = body::collect_limited(request.into_body(), 1 << 20).await;
            tell.send(read.map_err(|status| status.code)).unwrap();
            Ok::<_, Infallible>(Response::new(body::empty()))
        }
    });
    let server = Server::start(&Protocol::ALL, Limits::default(), service);
    for protocol in WITH_TRAILERS {
        let channel = server.channel(&[protocol]);
        for code in Code::all().skip(1) {
            // HTTP/2 says CANCEL for a deadline, as gRPC does.
            let deadline = protocol == Protocol::Http2 && code == Code::DeadlineExceeded;
            let expected = if deadline { Code::Cancelled } else { code };
            // Over QUIC a reset may overtake the answer's head.
            let read = match channel.send(get(&format!("/{}", code.grpc()))).await {
                Ok(answer) => body::collect_limited(answer.into_body(), 1 << 20).await,
                Err(error) => Err(Status::from(error)),
            };
            assert_eq!(read.map_err(|status| status.code), Err(expected), "{protocol} answer");

            let request = Request::post("/read").body(breaking(code, Some(Arc::clone(&begun)))).unwrap();
            let both = async { tokio::join!(channel.send(request), told.recv()) };
            let (sent, read) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
            assert_eq!(read.unwrap(), Err(expected), "{protocol} request");
            drop(sent);
        }
    }
}

/// A message that breaks off after its first piece, once `begun`: over QUIC a reset may overtake the rest.
fn breaking(code: Code, begun: Option<Arc<Notify>>) -> Body {
    let frames = futures_util::stream::unfold((0, begun), move |(piece, begun)| async move {
        match (piece, &begun) {
            (1, Some(begun)) => begun.notified().await,
            _ => tokio::task::yield_now().await,
        }
        match piece {
            0 => Some((Ok(data(10)), (1, begun))),
            1 => Some((Err(Status::new(code, "broken on purpose")), (2, begun))),
            _ => None,
        }
    });
    body::boxed(StreamBody::new(frames))
}
