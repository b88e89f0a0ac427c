//! The half of a stream that we read.

use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId};

use super::error::read_error;
use super::rules::{Broken, Rules, Violation};
use super::{H3_MESSAGE_ERROR, stream_id};

/// The most that one read hands on; backpressure works in steps of it.
const MAX_CHUNK: usize = 64 << 10;

/// A stream's receiving half. Dropped before its end, it tells the peer to stop sending.
pub struct RecvStream {
    stream: quinn::RecvStream,
    id: StreamId,
    stop_code: u32,
    ended: bool,
    malformed: bool,
    rules: Rules,
    violation: Violation,
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream, stop_code: u32, rules: Rules, violation: Violation) -> Self {
        Self {
            id: stream_id(stream.id()),
            stream,
            stop_code,
            ended: false,
            malformed: false,
            rules,
            violation,
        }
    }

    /// Ends what the broken rule ends.
    fn break_off(&mut self, broken: Broken) -> StreamErrorIncoming {
        match broken {
            Broken::Connection(code) => {
                self.ended = true;
                self.violation.found(code);
                let connection_error = ConnectionErrorIncoming::InternalError(format!(
                    "the peer broke a rule of HTTP/3: {code:#x}"
                ));
                StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
            }
            Broken::Message(malformed) => {
                quic::RecvStream::stop_sending(self, H3_MESSAGE_ERROR.into());
                self.malformed = true;
                StreamErrorIncoming::Unknown(Box::new(malformed))
            }
        }
    }

    /// Whether the message broke off because it is malformed.
    pub(super) const fn is_malformed(&self) -> bool {
        self.malformed
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
            && let Err(broken) = self.rules.look(&chunk.bytes)
        {
            return Poll::Ready(Err(self.break_off(broken)));
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
