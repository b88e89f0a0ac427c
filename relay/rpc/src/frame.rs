//! gRPC's framing: a flag and a length before each message (`PROTOCOL-HTTP2.md`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderMap;
use http_body::Body as _;
use relay_core::Status;
use relay_transport::{Body, body};

use crate::compression::{self, Compression, too_large};

/// A compression flag and four bytes of length.
const PREFIX: usize = 5;

/// A message ready for the wire: encoded and framed in one piece, so that sending it copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Frames what `write` writes; `size` is about how much that is.
    pub(crate) fn write(size: usize, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut framed = BytesMut::with_capacity(PREFIX + size);
        framed.put_bytes(0, PREFIX);
        write(&mut framed);
        let length = u32::try_from(framed.len() - PREFIX).unwrap_or(u32::MAX);
        if let Some(prefix) = framed.get_mut(1..PREFIX) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        Self(framed.freeze())
    }

    /// Frames a message that is encoded already.
    #[must_use]
    pub fn new(message: &[u8]) -> Self {
        Self::write(message.len(), |into| into.put_slice(message))
    }

    /// The message without its frame.
    #[must_use]
    pub fn into_message(mut self) -> Bytes {
        self.0.advance(PREFIX);
        self.0
    }

    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() - PREFIX
    }

    /// Whether the message has no bytes, as a protobuf message whose fields are all at their default.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message with its frame.
    pub(crate) fn framed(self) -> Bytes {
        self.0
    }

    /// The message with its frame, compressed.
    pub(crate) fn gzipped(&self) -> Bytes {
        let whole = vec![1, 0, 0, 0, 0];
        // Writing to memory cannot fail; if it did, the message would go as it is.
        let Ok(mut whole) = compression::gzip(&self.0.slice(PREFIX..), whole) else {
            return self.0.clone();
        };
        let length = u32::try_from(whole.len() - PREFIX).unwrap_or(u32::MAX);
        if let Some(prefix) = whole.get_mut(1..PREFIX) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        whole.into()
    }
}

/// The messages of a body as they arrive. The body is read on only when no whole message is left of
/// what was read, so that a slow reader slows the sender down.
#[derive(Debug)]
pub struct Frames {
    body: Option<Body>,
    /// What was read in one piece; messages in it are not copied.
    piece: Bytes,
    /// What was read of a message that came in many pieces.
    pieces: BytesMut,
    compression: Compression,
    max: usize,
    compressed: bool,
    trailers: Option<HeaderMap>,
}

impl Frames {
    pub(crate) fn new(body: Body, compression: Compression, max: usize) -> Self {
        Self {
            body: Some(body),
            piece: Bytes::new(),
            pieces: BytesMut::new(),
            compression,
            max,
            compressed: false,
            trailers: None,
        }
    }

    /// The next message; `None` at the body's end.
    ///
    /// # Errors
    /// `resource-exhausted` above the bound, `internal` for what is no frame, and what broke the body.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let polled = self.poll_inner(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
            self.piece = Bytes::new();
            self.pieces = BytesMut::new();
        }
        polled
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            if let Some(message) = self.take().transpose() {
                return Poll::Ready(Some(message));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.push(data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(body::broken(error.as_ref())))),
                None if self.piece.is_empty() && self.pieces.is_empty() => return Poll::Ready(None),
                None => {
                    let cut = Status::internal("the body ends within a message");
                    return Poll::Ready(Some(Err(cut)));
                }
            }
        }
    }

    fn push(&mut self, data: Bytes) {
        if self.piece.is_empty() && self.pieces.is_empty() {
            self.piece = data;
            return;
        }
        self.pieces.extend_from_slice(&std::mem::take(&mut self.piece));
        self.pieces.extend_from_slice(&data);
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let read: &[u8] = if self.pieces.is_empty() { &self.piece } else { &self.pieces };
        let Some((prefix, rest)) = read.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let [flag, length @ ..] = *prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if flag > 1 {
            return Err(Status::internal(format!("a message begins with the unknown flag {flag}"))
                .with_hint("check that the body is framed as gRPC"));
        }
        if length > self.max {
            return Err(too_large(self.max));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let mut message = if self.pieces.is_empty() {
            self.piece.split_to(PREFIX + length)
        } else {
            self.pieces.split_to(PREFIX + length).freeze()
        };
        message.advance(PREFIX);
        self.compressed = flag == 1;
        if self.compressed {
            self.compression.expand(&message, self.max).map(Some)
        } else {
            Ok(Some(message))
        }
    }

    /// Whether the last message came compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The body's trailers, once its end was reached.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// The one message that there has to be.
    ///
    /// # Errors
    /// `unimplemented` for none or many (gRPC's `statuscodes.md`, cardinality violations), and as
    /// [`Frames::poll_message`].
    pub(crate) async fn only(&mut self) -> Result<Bytes, Status> {
        let mut first = None;
        std::future::poll_fn(|cx| self.poll_only(&mut first, cx)).await
    }

    /// As [`Frames::only`]; `first` keeps the message until it is known to be the only one.
    pub(crate) fn poll_only(
        &mut self,
        first: &mut Option<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        let wrong = |how| Status::unimplemented(format!("the call takes one message and {how}"));
        let message = match first.take() {
            Some(message) => message,
            None => {
                let message = ready!(self.poll_message(cx));
                let message = message.unwrap_or_else(|| Err(wrong("none came")))?;
                let nothing_left = self.piece.is_empty() && self.pieces.is_empty();
                if nothing_left && self.body.as_ref().is_none_or(http_body::Body::is_end_stream) {
                    return Poll::Ready(Ok(message));
                }
                message
            }
        };
        let compressed = self.compressed;
        match self.poll_message(cx) {
            Poll::Pending => {
                *first = Some(message);
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.compressed = compressed;
                Poll::Ready(Ok(message))
            }
            Poll::Ready(Some(Ok(_second))) => Poll::Ready(Err(wrong("more came"))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
        }
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::convert::Infallible;

    use futures_util::StreamExt as _;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use relay_core::Code;

    use super::*;

    fn frames(wire: &[u8], piece: usize, max: usize) -> Frames {
        let pieces: Vec<_> = wire
            .chunks(piece.max(1))
            .map(|piece| Ok::<_, Infallible>(http_body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = body::boxed(StreamBody::new(futures_util::stream::iter(pieces)));
        Frames::new(body, Compression::Gzip, max)
    }

    fn read(mut frames: Frames) -> (Vec<Bytes>, Option<Code>) {
        let mut messages = Vec::new();
        loop {
            match futures_util::FutureExt::now_or_never(frames.next()).unwrap() {
                Some(Ok(message)) => messages.push(message),
                Some(Err(status)) => return (messages, Some(status.code)),
                None => return (messages, None),
            }
        }
    }

    proptest! {
        #[test]
        fn messages_come_back_however_they_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..6),
            packed: bool, piece in 1usize..80,
        ) {
            let mut wire = Vec::new();
            for message in &messages {
                let encoded = Encoded::new(message);
                wire.extend_from_slice(&if packed { encoded.gzipped() } else { encoded.framed() });
            }
            prop_assert_eq!(read(frames(&wire, piece, 100)), (messages.into_iter().map(Bytes::from).collect(), None));
        }

        #[test]
        fn foreign_bytes_never_panic(wire: Vec<u8>, piece in 1usize..20) {
            let _any = read(frames(&wire, piece, 1000));
        }
    }

    #[test]
    fn what_is_wrong_ends_the_stream() {
        let cases: [(&[u8], Code); 5] = [
            (b"\0\0\0\0\x05abc", Code::Internal),
            (b"\0\0", Code::Internal),
            (b"\x02\0\0\0\0", Code::Internal),
            (b"\x01\0\0\0\x01a", Code::Internal),
            (b"\0\0\0\0\xffa", Code::ResourceExhausted),
        ];
        for (wire, code) in cases {
            assert_eq!(read(frames(wire, 100, 100)), (vec![], Some(code)), "{wire:?}");
        }
    }
}
