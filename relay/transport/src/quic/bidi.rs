//! A request's stream, before its halves part.

use std::task::{Context, Poll, ready};

use bytes::Buf;
use h3::quic::{self, StreamErrorIncoming, StreamId, WriteBuf};

use super::rules::{Rules, Violation};
use super::{BidiPair, Closing, H3_MESSAGE_ERROR, RecvStream, SendStream};

/// A request's stream: both halves.
pub struct BidiStream<B> {
    send: SendStream<B>,
    recv: RecvStream,
}

impl<B> BidiStream<B> {
    pub(super) fn new(
        (send, recv): BidiPair,
        stop_code: u32,
        rules: Rules,
        closing: Closing,
        violation: Violation,
    ) -> Self {
        let recv = RecvStream::new(recv, stop_code, rules, violation);
        Self { send: SendStream::guarded(send, closing), recv }
    }
}

impl<B: Buf + Send> quic::BidiStream<B> for BidiStream<B> {
    type SendStream = SendStream<B>;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream<B>, RecvStream) {
        (self.send, self.recv)
    }
}

impl<B: Buf + Send> quic::RecvStream for BidiStream<B> {
    type Buf = bytes::Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<bytes::Bytes>, StreamErrorIncoming>> {
        let data = ready!(self.recv.poll_data(cx));
        if self.recv.is_malformed() {
            quic::SendStream::reset(&mut self.send, H3_MESSAGE_ERROR.into());
        }
        Poll::Ready(data)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl<B: Buf + Send> quic::SendStream<B> for BidiStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}
