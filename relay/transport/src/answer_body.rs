//! An answer's body with what holds for every answer: it counts among those in flight for as long
//! as it lives, and a panic in it is one failed call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::body::{Body, BoxError};
use crate::stats::ListenerStats;

/// A body that panics is polled once more, as it may still say how its call ended; after a second
/// panic it breaks off.
pub(crate) struct AnswerBody<T> {
    body: Body,
    _held: T,
    stats: ListenerStats,
    panics: u8,
}

impl<T> AnswerBody<T> {
    pub(crate) fn new(body: Body, held: T, stats: ListenerStats) -> Self {
        Self { body, _held: held, stats, panics: 0 }
    }
}

impl<T: Unpin> http_body::Body for AnswerBody<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.panics < 2 {
            let body = &mut self.body;
            match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
                // Trailers that hold nothing are never sent; nothing follows trailers.
                Ok(polled) => return polled.map(|frame| frame.filter(|frame| !is_empty_trailers(frame))),
                Err(_logged_by_the_hook) => {
                    if self.panics == 0 {
                        self.stats.panicked();
                    }
                    self.panics += 1;
                }
            }
        }
        Poll::Ready(Some(Err("the answer broke off by a fault of the server".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn is_empty_trailers(frame: &Result<Frame<Bytes>, BoxError>) -> bool {
    matches!(frame, Ok(frame) if frame.trailers_ref().is_some_and(HeaderMap::is_empty))
}
