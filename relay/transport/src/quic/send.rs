//! The half of a stream that we write.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use h3::quic::{self, StreamErrorIncoming, StreamId, WriteBuf};

use super::error::write_error;
use super::{Closing, H3_REQUEST_CANCELLED, stream_id};

/// A stream's sending half. Where it is guarded and dropped before its end, it is reset, so that
/// a cancelled message never looks complete.
pub struct SendStream<B> {
    stream: quinn::SendStream,
    id: StreamId,
    /// In a box: it is large, and of the streams of an idle connection none is being written.
    writing: Option<Box<WriteBuf<B>>>,
    guarded: bool,
    closing: Closing,
    acknowledged: Option<Acknowledged>,
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
        Self { id: stream_id(stream.id()), stream, writing: None, guarded, closing, acknowledged: None }
    }
}

impl<B: Buf + Send> quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(buffer) = &mut self.writing {
            if !buffer.has_remaining() {
                self.writing = None;
                break;
            }
            let written = Pin::new(&mut self.stream).poll_write(cx, buffer.chunk());
            buffer.advance(ready!(written).map_err(write_error)?);
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::Unknown("a write is still under way".into()));
        }
        self.writing = Some(Box::new(data.into()));
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
        if self.guarded {
            let _already_closed = self.stream.reset(quinn::VarInt::from_u32(H3_REQUEST_CANCELLED));
        }
    }
}
