//! The half of a stream that we write.

use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use h3::quic::{self, StreamErrorIncoming, StreamId, WriteBuf};

use super::error::write_error;
use super::{Closing, H3_REQUEST_CANCELLED, stream_id};

/// What h3 answers a field section above its bound with, before it lets go of the stream without finishing it: a
/// HEADERS frame of `:status: 431` alone. No answer of a service is without a `date`.
const TOO_LARGE: &[u8] = &[1, 8, 0, 0, 0x5f, 9, 0x83, 0x69, 0x90, 0xff];

/// A stream's sending half. Where it is guarded and dropped before its end, it is reset, so that
/// a cancelled message never looks complete.
pub struct SendStream<B> {
    stream: quinn::SendStream,
    id: StreamId,
    /// What is left of the frame that is being written: its header and its payload in one piece, which
    /// QUIC then takes at once and without a copy of its own.
    writing: Bytes,
    guarded: bool,
    /// What was written is an answer that nobody will finish.
    is_whole: bool,
    closing: Closing,
    acknowledged: Option<Acknowledged>,
    payload: PhantomData<fn(B)>,
}

/// Resolves once the peer has all of a stream, or wants no more of it.
type Acknowledged = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl<B> SendStream<B> {
    /// For a request or a response.
    pub(super) fn guarded(stream: quinn::SendStream, closing: Closing) -> Self {
        Self::new(stream, true, closing)
    }

    /// For h3's own control streams, which live as long as the connection.
    pub(super) fn unguarded(stream: quinn::SendStream) -> Self {
        Self::new(stream, false, Closing::default())
    }

    fn new(stream: quinn::SendStream, guarded: bool, closing: Closing) -> Self {
        let (id, writing) = (stream_id(stream.id()), Bytes::new());
        Self {
            stream,
            id,
            writing,
            guarded,
            is_whole: false,
            closing,
            acknowledged: None,
            payload: PhantomData,
        }
    }
}

impl<B: Buf + Send> quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while !self.writing.is_empty() {
            let mut left = [std::mem::take(&mut self.writing)];
            // The future of a write holds no state of its own: it takes off `left` what it has written.
            let written = pin!(self.stream.write_chunks(&mut left)).poll(cx);
            let [left] = left;
            self.writing = left;
            ready!(written).map_err(write_error)?;
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if !self.writing.is_empty() {
            return Err(StreamErrorIncoming::Unknown("a write is still under way".into()));
        }
        let frame: WriteBuf<B> = data.into();
        let mut whole = BytesMut::with_capacity(frame.remaining());
        whole.put(frame);
        self.writing = whole.freeze();
        self.is_whole = self.writing == TOO_LARGE;
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        if self.guarded {
            self.guarded = false;
            // The peer may have stopped the stream already: then there is nothing left to finish.
            let _already_closed = self.stream.finish();
            if self.closing.has_begun() {
                let stopped = self.stream.stopped();
                self.acknowledged = Some(Box::pin(async move {
                    // A lost connection acknowledges nothing any more.
                    let _gone = stopped.await;
                }));
            }
        }
        if let Some(acknowledged) = &mut self.acknowledged {
            ready!(acknowledged.as_mut().poll(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, reset_code: u64) {
        self.guarded = false;
        if let Ok(code) = quinn::VarInt::from_u64(reset_code) {
            let _already_closed = self.stream.reset(code);
        }
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

impl<B> Drop for SendStream<B> {
    fn drop(&mut self) {
        if self.guarded && self.is_whole && self.writing.is_empty() {
            let _already_closed = self.stream.finish();
        } else if self.guarded {
            let _already_closed = self.stream.reset(quinn::VarInt::from_u32(H3_REQUEST_CANCELLED));
        }
    }
}
