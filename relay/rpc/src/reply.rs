//! What a handler answers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use relay_core::Status;

/// An answer with what goes beside it. A handler that has nothing to say beside its message
/// answers with the message alone.
#[derive(Debug)]
pub struct Reply<T> {
    pub(crate) message: T,
    pub(crate) metadata: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) compressed: Option<bool>,
    pub(crate) control: Option<Control>,
}

impl<T> Reply<T> {
    /// An answer with nothing beside it.
    pub fn new(message: T) -> Self {
        Self {
            message,
            metadata: HeaderMap::new(),
            trailers: HeaderMap::new(),
            compressed: None,
            control: None,
        }
    }

    /// Adds a header: gRPC metadata, or `Rpc-Header-NAME`.
    #[must_use]
    pub fn with_metadata(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.metadata.append(name, value);
        self
    }

    /// Adds a trailer; where a call has no trailers, it goes as a header.
    #[must_use]
    pub fn with_trailer(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.trailers.append(name, value);
        self
    }

    /// Compresses messages or does not, where the caller understands it; otherwise the dispatcher's
    /// setting holds.
    #[must_use]
    pub fn with_compression(mut self, compressed: bool) -> Self {
        self.compressed = Some(compressed);
        self
    }

    /// Adds a handle that a stream uses while it runs.
    #[must_use]
    pub fn with_control(mut self, control: &Control) -> Self {
        self.control = Some(control.clone());
        self
    }

    /// The message.
    pub fn message(&self) -> &T {
        &self.message
    }

    /// The application's own headers; at a client all headers of the answer.
    #[must_use]
    pub fn metadata(&self) -> &HeaderMap {
        &self.metadata
    }

    /// The trailers.
    #[must_use]
    pub fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// At a client: whether the message came compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed.unwrap_or(false)
    }

    /// The message alone.
    pub fn into_message(self) -> T {
        self.message
    }

    /// The same with another message.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Reply<U> {
        let Self { message, metadata, trailers, compressed, control } = self;
        Reply { message: with(message), metadata, trailers, compressed, control }
    }
}

impl<T> From<T> for Reply<T> {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}

impl<T, S: Stream<Item = Result<T, Status>> + Send + 'static> Reply<S> {
    /// The same with the stream's type erased, as generated traits ask for.
    pub fn boxed(self) -> Reply<ReplyStream<T>> {
        self.map(|stream| -> ReplyStream<T> { Box::pin(stream) })
    }
}

/// What a stream says beside its messages while it runs: trailers, and whether the next message
/// is compressed. Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    trailers: HeaderMap,
    compressed: Option<bool>,
}

impl Control {
    /// Adds a trailer.
    pub fn add_trailer(&self, name: HeaderName, value: HeaderValue) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trailers.append(name, value);
    }

    /// Compresses the messages from the next one on, or does not.
    pub fn set_compression(&self, compressed: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).compressed = Some(compressed);
    }

    pub(crate) fn compressed(&self) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).compressed
    }

    pub(crate) fn take_trailers(&self) -> HeaderMap {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).trailers)
    }
}

/// A stream of answers whose type is erased.
pub type ReplyStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a handler of one answer may give: a message, or a [`Reply`] of one.
pub trait Answer: 'static {
    /// The message.
    type Message;
    /// The answer with what goes beside it.
    fn into_reply(self) -> Reply<Self::Message>;
}

impl<T: Message + 'static> Answer for T {
    type Message = T;

    fn into_reply(self) -> Reply<T> {
        Reply::new(self)
    }
}

impl<T: 'static> Answer for Reply<T> {
    type Message = T;

    fn into_reply(self) -> Self {
        self
    }
}

/// What a handler of many answers may give: a stream of messages, or a [`Reply`] of one.
pub trait StreamAnswer: 'static {
    /// One message.
    type Message;
    /// The stream.
    type Stream: Stream<Item = Result<Self::Message, Status>> + Send + 'static;
    /// The answer with what goes beside it.
    fn into_reply(self) -> Reply<Self::Stream>;
}

impl<T: 'static, S: Stream<Item = Result<T, Status>> + Send + 'static> StreamAnswer for S {
    type Message = T;
    type Stream = S;

    fn into_reply(self) -> Reply<S> {
        Reply::new(self)
    }
}

impl<T: 'static, S: Stream<Item = Result<T, Status>> + Send + 'static> StreamAnswer for Reply<S> {
    type Message = T;
    type Stream = S;

    fn into_reply(self) -> Self {
        self
    }
}
