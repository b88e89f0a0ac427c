//! An answer's body on its way out: what breaks off says so in the connection's own protocol, and a
//! client that takes nothing of it does not hold it for ever.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use relay_core::{Protocol, Status};
use tokio::time::Sleep;
use tracing::debug;

use crate::body::{Body, BoxError};
use crate::exchange::{Exchange, Next, WaitsFor};
use crate::reset::Reset;
use crate::stats::{Bound, ListenerStats};

/// Bytes that are handed to HTTP/2 at once. It takes the whole of a piece once the client has room
/// for some of it, so this is also what a stalled stream keeps in memory.
const MAX_PIECE: usize = 32 << 10;

/// An answer's body that keeps `held` for as long as it lives. A panic in it is one failed call: it is
/// polled once more, as it may still say how its call ended, and breaks off after a second panic.
pub(crate) struct ResponseBody<T> {
    body: Body,
    exchange: Arc<Exchange>,
    stats: ListenerStats,
    panics: u8,
    /// What is left of a piece that is handed over in several.
    rest: Bytes,
    protocol: Protocol,
    _held: T,
}

impl<T> ResponseBody<T> {
    pub(crate) fn new(
        body: Body,
        exchange: Arc<Exchange>,
        protocol: Protocol,
        stats: ListenerStats,
        held: T,
    ) -> Self {
        exchange.wait_for(WaitsFor::Client);
        Self { body, exchange, stats, panics: 0, rest: Bytes::new(), protocol, _held: held }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.panics < 2 {
            let body = &mut self.body;
            match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
                Ok(polled) => return polled,
                Err(_logged_by_the_hook) => {
                    if self.panics == 0 {
                        self.stats.panicked();
                    }
                    self.panics += 1;
                }
            }
        }
        Poll::Ready(Some(Err(Status::internal("the answer broke off by a fault of the server").into())))
    }

    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if self.protocol == Protocol::Http2 && data.len() > MAX_PIECE {
            self.rest = data.split_off(MAX_PIECE);
        }
        Frame::data(data)
    }
}

impl<T: Unpin> http_body::Body for ResponseBody<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.exchange.wait_for(WaitsFor::Client);
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        match self.poll_body(cx) {
            // Trailers that hold nothing are never sent; nothing follows trailers.
            Poll::Ready(Some(Ok(frame))) if frame.trailers_ref().is_some_and(HeaderMap::is_empty) => {
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => self.piece(data),
                Err(trailers) => trailers,
            }))),
            Poll::Ready(Some(Err(error))) => {
                debug!(error, "an answer broke off");
                Poll::Ready(Some(Err(Reset::of(&error).into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                self.exchange.wait_for(WaitsFor::Service);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        hint.exact().map_or(hint, |left| SizeHint::with_exact(left.saturating_add(rest)))
    }
}

/// Runs the requests of HTTP/2 connections, each until it is answered or its client has taken
/// nothing of the answer for too long; dropped, it is reset with CANCEL.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) patience: Duration,
    pub(crate) stats: ListenerStats,
    /// The request that the next task is for.
    pub(crate) next: Next,
}

impl<F> Executor<F> for Requests
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, request: F) {
        let exchange = self.next.take().unwrap_or_default();
        omnirelay_runtime::spawn("h2-request", answering(request, exchange, self.clone()));
    }
}

async fn answering(request: impl Future, exchange: Arc<Exchange>, by: Requests) {
    let mut request = pin!(request);
    let mut waits_for = WaitsFor::Service;
    // Armed only while the client takes nothing.
    let mut stalled: Option<Pin<Box<Sleep>>> = None;
    let ended = poll_fn(|cx| {
        if request.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if let Some(news) = exchange.news() {
            (waits_for, stalled) = (news, None);
        }
        match waits_for {
            WaitsFor::Service => Poll::Pending,
            WaitsFor::Client => {
                let stalled = stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(by.patience)));
                stalled.as_mut().poll(cx).map(|()| false)
            }
        }
    });
    if !ended.await {
        by.stats.refused(Bound::SendTime);
        debug!("the client takes nothing of its answer");
    }
}
