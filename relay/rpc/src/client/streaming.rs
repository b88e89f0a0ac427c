//! An answer that arrives message by message.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use http::HeaderMap;
use http::response::Parts;
use relay_core::{Negotiated, Status};

use super::grpc::outcome;
use super::outgoing::Cancel;
use crate::messages::Messages;
use crate::serve::{Deadline, exceeded};

/// The messages of an answer. Dropping it cancels the call; after an error or the end there is
/// nothing more.
pub struct Streaming<T> {
    messages: Option<Messages<T>>,
    head: Parts,
    trailers: Option<HeaderMap>,
    deadline: Deadline,
    name: String,
    compressed: bool,
    cancel: Option<Cancel>,
}

impl<T> Streaming<T> {
    pub(super) fn new(
        messages: Messages<T>,
        head: Parts,
        deadline: Deadline,
        name: String,
        cancel: Option<Cancel>,
    ) -> Self {
        Self { messages: Some(messages), head, trailers: None, deadline, name, compressed: false, cancel }
    }

    /// The next message; `None` once the procedure ended well.
    ///
    /// # Errors
    /// The procedure's status, the deadline, or what broke the answer off.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// The headers of the answer.
    #[must_use]
    pub fn metadata(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(super) fn metadata_mut(&mut self) -> &mut HeaderMap {
        &mut self.head.headers
    }

    /// The trailers, once the end was reached.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Whether the last message came compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// How the answer came; `None` where no channel carried it.
    #[must_use]
    pub fn negotiated(&self) -> Option<Negotiated> {
        self.head.extensions.get().copied()
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Status>>> {
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        let next = if self.deadline.poll_passed(cx) {
            Some(Err(exceeded(&self.name)))
        } else {
            ready!(messages.poll_message(cx))
        };
        self.compressed = messages.is_compressed();
        if let Some(Ok(message)) = next {
            return Poll::Ready(Some(Ok(message)));
        }
        let ended = match next {
            Some(Err(status)) => Err(status),
            _ => {
                self.trailers = messages.frames().take_trailers();
                outcome(self.trailers.as_ref(), &self.head.headers)
            }
        };
        self.messages = None;
        self.cancel = None;
        Poll::Ready(ended.err().map(Err))
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("name", &self.name).finish_non_exhaustive()
    }
}
