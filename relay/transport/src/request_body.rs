//! A request's body with its bounds: how long it or each of its messages may be, and how long it may
//! pause.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h3::error::StreamError;
use http_body::{Frame, SizeHint};
use relay_core::{Code, RpcStyle, Status};
use tokio::time::{Instant, Sleep};

use crate::body::{Body, BoxError};
use crate::exchange::Exchange;
use crate::limits::Limits;
use crate::quic::Malformed;
use crate::respond::REQUEST_TIMEOUT;
use crate::stats::{Bound, ListenerStats};

/// Breaks off where a bound is met, and counts it.
pub(crate) struct RequestBody {
    body: Body,
    length: Length,
    pause: Duration,
    /// Armed only while the body keeps somebody waiting.
    waiting: Option<Pin<Box<Sleep>>>,
    /// A service that has begun to answer knows why it reads on: a stream may pause for hours.
    exchange: Arc<Exchange>,
    stats: ListenerStats,
    broken: bool,
}

impl RequestBody {
    pub(crate) fn new(
        body: Body,
        exchange: Arc<Exchange>,
        style: RpcStyle,
        limits: &Limits,
        stats: ListenerStats,
    ) -> Self {
        Self {
            body,
            length: Length::new(style, limits),
            pause: limits.body_timeout(),
            waiting: None,
            exchange,
            stats,
            broken: false,
        }
    }

    fn too_long(&mut self, bound: Bound) -> BoxError {
        self.stats.refused(bound);
        self.broken = true;
        let hint = format!("send less, or raise `limits.{}`", bound.name());
        Status::new(Code::ResourceExhausted, "the body is above the listener's bound").with_hint(hint).into()
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        if self.exchange.is_answered() {
            return Poll::Pending;
        }
        let pause = self.pause;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(waiting.as_mut().poll(cx));
        if self.exchange.is_answered() {
            return Poll::Pending;
        }
        self.stats.refused(Bound::BodyTime);
        self.broken = true;
        let slow = Status::new(Code::DeadlineExceeded, "the request's body paused for too long")
            .with_name(REQUEST_TIMEOUT)
            .with_hint("send it faster, or raise `limits.body_timeout_ms`");
        Poll::Ready(slow.into())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.broken {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.poll_pause(cx).map(|error| Some(Err(error))),
            Poll::Ready(Some(Err(error))) => {
                self.broken = true;
                let Some(malformed) = malformed(error.as_ref()) else { return Poll::Ready(Some(Err(error))) };
                self.stats.refused(Bound::Malformed);
                self.exchange.malformed();
                Poll::Ready(Some(Err(Status::invalid_argument(malformed.to_string()).into())))
            }
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                if let Some(bound) = data.and_then(|data| self.length.exceeded_by(data)) {
                    return Poll::Ready(Some(Err(self.too_long(bound))));
                }
                let pause = self.pause;
                if let Some(waiting) = &mut self.waiting
                    && let Some(next) = Instant::now().checked_add(pause)
                {
                    waiting.as_mut().reset(next);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What h3 tells of a section that it did not get to see stands inside of its own error.
fn malformed<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Malformed> {
    match error.downcast_ref::<StreamError>() {
        Some(StreamError::Undefined(inner)) => inner.downcast_ref(),
        _ => error.downcast_ref(),
    }
}

/// How much of a body may still come. A gRPC call is a stream of messages that may go on for as long
/// as somebody reads it: each message is bounded as another body is, and all together on their own.
struct Length {
    left: u64,
    messages: Option<Messages>,
}

/// Where in which message a gRPC body is (`PROTOCOL-HTTP2.md`: a flag, four bytes of length, the
/// message).
struct Messages {
    max: u64,
    /// Bytes of the prefix that have come, and the length that they say so far.
    prefix: u8,
    length: u32,
    /// Bytes of the message that are still to come.
    left: u32,
}

impl Length {
    fn new(style: RpcStyle, limits: &Limits) -> Self {
        let max = limits.max_body_bytes;
        match style {
            RpcStyle::Grpc => Self {
                left: limits.max_stream_bytes,
                messages: Some(Messages { max, prefix: 0, length: 0, left: 0 }),
            },
            RpcStyle::Yarpc | RpcStyle::Http => Self { left: max, messages: None },
        }
    }

    /// Takes a piece of the body; the bound that it is above, if any.
    fn exceeded_by(&mut self, data: &[u8]) -> Option<Bound> {
        let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(size) else {
            return Some(if self.messages.is_some() { Bound::StreamBytes } else { Bound::BodyBytes });
        };
        self.left = left;
        let fits = self.messages.as_mut().is_none_or(|messages| messages.fit(data));
        (!fits).then_some(Bound::BodyBytes)
    }
}

impl Messages {
    const PREFIX: u8 = 5;

    /// Goes on by a piece; whether every message that it begins or continues is within the bound.
    fn fit(&mut self, mut data: &[u8]) -> bool {
        loop {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
            self.left -= u32::try_from(skipped).unwrap_or(u32::MAX);
            let Some((byte, rest)) = data.get(skipped..).and_then(<[u8]>::split_first) else {
                return true;
            };
            data = rest;
            // The flag is shifted out by the four bytes after it.
            self.length = self.length << 8 | u32::from(*byte);
            self.prefix += 1;
            if self.prefix == Self::PREFIX {
                if u64::from(self.length) > self.max {
                    return false;
                }
                (self.left, self.prefix) = (self.length, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounded(style: RpcStyle, body: u64, stream: u64, wire: &[u8], piece: usize) -> Option<Bound> {
        let limits = Limits { max_body_bytes: body, max_stream_bytes: stream, ..Limits::default() };
        let mut length = Length::new(style, &limits);
        wire.chunks(piece).find_map(|piece| length.exceeded_by(piece))
    }

    proptest! {
        /// However a body is cut: only its longest message and its whole count.
        #[test]
        fn each_message_of_a_grpc_body_is_bounded_and_all_together(
            sizes in proptest::collection::vec(0_usize..300, 0..10), piece in 1_usize..700, cut in 0_usize..50,
        ) {
            let mut wire = Vec::new();
            for size in &sizes {
                wire.push(0);
                wire.extend(u32::try_from(*size).unwrap_or_default().to_be_bytes());
                wire.resize(wire.len() + size, 7);
            }
            wire.truncate(wire.len().saturating_sub(cut));
            let (longest, whole) = (sizes.iter().copied().max().unwrap_or(0) as u64, wire.len() as u64);
            prop_assert_eq!(bounded(RpcStyle::Grpc, longest, whole, &wire, piece), None);
            if whole > 0 {
                prop_assert_eq!(bounded(RpcStyle::Grpc, longest, whole - 1, &wire, piece), Some(Bound::StreamBytes));
                prop_assert_eq!(bounded(RpcStyle::Http, whole - 1, u64::MAX, &wire, piece), Some(Bound::BodyBytes));
            }
            if longest > 0 && cut == 0 {
                prop_assert_eq!(bounded(RpcStyle::Grpc, longest - 1, whole, &wire, piece), Some(Bound::BodyBytes));
            }
            prop_assert_eq!(bounded(RpcStyle::Yarpc, whole, 0, &wire, piece), None);
        }
    }
}
