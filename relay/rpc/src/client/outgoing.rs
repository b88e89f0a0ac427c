//! The body of a call that streams, and what ends it when nobody waits for the answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{AbortHandle, Abortable};
use http_body::Frame;
use prost::Message;
use relay_core::{Code, Status};
use relay_transport::BoxError;

use crate::codec::protobuf;

/// Ends a call when it is dropped.
#[derive(Debug)]
pub(crate) struct Cancel(AbortHandle);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream of messages as a body. Once cancelled it breaks off, so that the transport resets the
/// request rather than finishing it.
pub(crate) struct Outgoing<S> {
    messages: Pin<Box<Abortable<S>>>,
    compressed: bool,
}

impl<S> Outgoing<S> {
    pub(crate) fn new(messages: S, compressed: bool) -> (Self, Cancel)
    where
        S: Stream,
    {
        let (messages, handle) = futures_util::stream::abortable(messages);
        (Self { messages: Box::pin(messages), compressed }, Cancel(handle))
    }
}

impl<T: Message, S: Stream<Item = T>> http_body::Body for Outgoing<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = ready!(self.messages.as_mut().poll_next(cx));
        Poll::Ready(match next {
            Some(message) => {
                let encoded = protobuf(&message);
                let framed = if self.compressed { encoded.gzipped() } else { encoded.framed() };
                Some(Ok(Frame::data(framed)))
            }
            None if self.messages.is_aborted() => {
                Some(Err(Status::new(Code::Cancelled, "the caller gave the call up").into()))
            }
            None => None,
        })
    }
}
