//! What a caller asks.

use std::time::Duration;

use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A request with what goes beside its message; for a streaming call the message is a stream. A
/// message alone becomes one by itself.
#[derive(Clone, Debug)]
pub struct Ask<T> {
    pub(crate) message: T,
    pub(crate) metadata: HeaderMap,
    pub(crate) timeout: Option<Duration>,
    pub(crate) compressed: bool,
    pub(crate) shard_key: Option<HeaderValue>,
}

impl<T> Ask<T> {
    /// A request with nothing beside it.
    pub fn new(message: T) -> Self {
        Self { message, metadata: HeaderMap::new(), timeout: None, compressed: false, shard_key: None }
    }

    /// Adds metadata by its plain name; values of a name in `-bin` are made by
    /// [`metadata::encode_bin`](crate::metadata::encode_bin).
    #[must_use]
    pub fn with_metadata(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.metadata.append(name, value);
        self
    }

    /// How long the call may take, its streams included.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Compresses messages with gzip (gRPC only).
    #[must_use]
    pub fn compressed(mut self) -> Self {
        self.compressed = true;
        self
    }

    /// Says which shard is meant; a key that cannot stand in a header is not said.
    #[must_use]
    pub fn with_shard_key(mut self, key: &str) -> Self {
        self.shard_key = HeaderValue::from_str(key).ok();
        self
    }
}

impl<T> From<T> for Ask<T> {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}

/// What a streaming call may send: a stream of messages, or an [`Ask`] of one.
pub trait StreamAsk {
    /// One message.
    type Message;
    /// The stream.
    type Stream: Stream<Item = Self::Message> + Send + 'static;
    /// The request with what goes beside it.
    fn into_ask(self) -> Ask<Self::Stream>;
}

impl<T, S: Stream<Item = T> + Send + 'static> StreamAsk for S {
    type Message = T;
    type Stream = S;

    fn into_ask(self) -> Ask<S> {
        Ask::new(self)
    }
}

impl<T, S: Stream<Item = T> + Send + 'static> StreamAsk for Ask<S> {
    type Message = T;
    type Stream = S;

    fn into_ask(self) -> Self {
        self
    }
}
