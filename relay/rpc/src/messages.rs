//! A stream of messages that arrives.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use relay_core::Status;

use crate::frame::Frames;

type DecodeNext<T> = Box<dyn Fn(Bytes) -> Result<T, Status> + Send>;

/// The messages that a caller streams, each decoded when it is asked for. After an error there is
/// nothing more.
pub struct Messages<T> {
    frames: Frames,
    decode: DecodeNext<T>,
}

impl<T> Messages<T> {
    pub(crate) fn new(frames: Frames, decode: impl Fn(Bytes) -> Result<T, Status> + Send + 'static) -> Self {
        Self { frames, decode: Box::new(decode) }
    }

    /// The next message; `None` once the caller has no more.
    ///
    /// # Errors
    /// A message that is above the bound or cannot be read, and a caller that broke off.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// Whether the last message came compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.frames.is_compressed()
    }

    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Status>>> {
        let next = ready!(self.frames.poll_message(cx));
        Poll::Ready(next.map(|bytes| (self.decode)(bytes?)))
    }

    pub(crate) fn frames(&mut self) -> &mut Frames {
        &mut self.frames
    }
}

impl<T> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

impl<T> fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
