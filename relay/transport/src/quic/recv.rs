//! The half of a stream that we read.

use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId};

use super::error::read_error;
use super::rules::{Rules, Violation};
use super::stream_id;

/// The most that one read hands on; backpressure works in steps of it.
const MAX_CHUNK: usize = 64 << 10;

/// A stream's receiving half. Dropped before its end, it tells the peer to stop sending.
pub struct RecvStream {
    stream: quinn::RecvStream,
    id: StreamId,
    stop_code: u32,
    ended: bool,
    rules: Rules,
    violation: Violation,
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream, stop_code: u32, rules: Rules, violation: Violation) -> Self {
        Self { id: stream_id(stream.id()), stream, stop_code, ended: false, rules, violation }
    }

    fn break_off(&mut self, code: u32) -> StreamErrorIncoming {
        self.ended = true;
        self.violation.found(code);
        let connection_error =
            ConnectionErrorIncoming::InternalError(format!("the peer broke a rule of HTTP/3: {code:#x}"));
        StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        // The future of a read holds no state of its own: the waker lives in the connection, so a
        // fresh one per poll reads in place and allocates nothing.
        let chunk = ready!(pin!(self.stream.read_chunk(MAX_CHUNK, true)).poll(cx));
        self.ended = !matches!(chunk, Ok(Some(_)));
        if let Ok(Some(chunk)) = &chunk
            && let Err(code) = self.rules.look(&chunk.bytes)
        {
            return Poll::Ready(Err(self.break_off(code)));
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(|chunk| chunk.bytes)).map_err(read_error))
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.ended = true;
        if let Ok(code) = quinn::VarInt::from_u64(error_code) {
            // A stream that is already at its end needs no stopping.
            let _already_ended = self.stream.stop(code);
        }
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.ended {
            let _already_ended = self.stream.stop(quinn::VarInt::from_u32(self.stop_code));
        }
    }
}
