//! Bodies and trailers over an h3 stream, the same for requests and responses.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::error::StreamError;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::malformed::Remaining;
use super::{RecvStream, SendStream};
use crate::body::{Body, BoxError};

/// The half of an h3 request stream that a message is read from, at either end.
pub trait Receive {
    /// The next piece of the body; `None` at its end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;
    /// The trailers, where there are any; asked for after the body's end.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, StreamError>>;
}

/// The half of an h3 request stream that a message is written to, at either end.
pub trait Transmit {
    /// Writes a piece of the body once the peer has room for it.
    fn data(&mut self, data: Bytes) -> impl Future<Output = Result<(), StreamError>> + Send;
    /// Writes the trailers.
    fn trailers(&mut self, trailers: HeaderMap) -> impl Future<Output = Result<(), StreamError>> + Send;
    /// Says that the message is complete.
    fn finish(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send;
}

macro_rules! both_ends {
    ($($end:ident),*) => {$(
        impl Receive for h3::$end::RequestStream<RecvStream, Bytes> {
            fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
                let data = ready!(self.poll_recv_data(cx))?;
                Poll::Ready(Ok(data.map(|mut data| data.copy_to_bytes(data.remaining()))))
            }

            fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, StreamError>> {
                self.poll_recv_trailers(cx)
            }
        }

        impl Transmit for h3::$end::RequestStream<SendStream<Bytes>, Bytes> {
            async fn data(&mut self, data: Bytes) -> Result<(), StreamError> {
                self.send_data(data).await
            }

            async fn trailers(&mut self, trailers: HeaderMap) -> Result<(), StreamError> {
                self.send_trailers(trailers).await
            }

            async fn finish(&mut self) -> Result<(), StreamError> {
                self.finish().await
            }
        }
    )*};
}

both_ends!(client, server);

/// Why a message was not sent in full; it then has to be reset.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// Its own body broke off.
    #[error("{0}")]
    Message(#[source] BoxError),
    /// The stream ended.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The peer took nothing of it for too long.
    #[error("the peer takes nothing")]
    Stalled,
}

/// Bytes that are written at once: the peer's patience counts for each, and a copy is made of each.
pub const MAX_PIECE: usize = 64 << 10;

/// Writes a whole body with its trailers and finishes the message. Empty pieces and empty
/// trailers are never sent. The peer has to take each piece within `patience`, where there is one.
///
/// # Errors
/// The message is incomplete and has to be reset.
pub async fn send_body(
    stream: &mut impl Transmit,
    mut body: Body,
    patience: Option<Duration>,
) -> Result<(), Unsent> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(Unsent::Message)?.into_data() {
            Ok(mut data) => {
                while !data.is_empty() {
                    let piece = data.split_to(data.len().min(MAX_PIECE));
                    within(patience, pin!(stream.data(piece))).await?;
                }
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) if !trailers.is_empty() => {
                    within(patience, pin!(stream.trailers(trailers))).await?;
                }
                _ => {}
            },
        }
    }
    within(patience, pin!(stream.finish())).await
}

/// Waits for a message to be sent or read, for at most `patience`. What is done at once costs no timer,
/// and what is pinned where it began is not moved.
///
/// # Errors
/// The stream's own, or [`Unsent::Stalled`].
pub async fn within<T>(
    patience: Option<Duration>,
    mut sending: Pin<&mut impl Future<Output = Result<T, StreamError>>>,
) -> Result<T, Unsent> {
    if let Poll::Ready(sent) = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await {
        return Ok(sent?);
    }
    let Some(patience) = patience else { return Ok(sending.await?) };
    match tokio::time::timeout(patience, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_elapsed) => Err(Unsent::Stalled),
    }
}

/// A message's body as it arrives, trailers included.
pub struct Incoming<S> {
    stream: S,
    remaining: Remaining,
    reading: Reading,
    ahead: Option<Frame<Bytes>>,
}

#[derive(PartialEq, Eq)]
enum Reading {
    Data,
    Trailers,
    Done,
}

impl<S> Incoming<S> {
    /// Reads from a stream whose headers have been read. The body has to be of `length` where there is one
    /// ([`check_fields`](super::check_fields)).
    pub fn new(stream: S, length: Option<u64>) -> Self {
        Self { stream, remaining: Remaining::new(length), reading: Reading::Data, ahead: None }
    }
}

impl<S: Receive + Unpin> Incoming<S> {
    /// Waits for the first frame or for the end, which [`is_end_stream`](http_body::Body::is_end_stream)
    /// then knows of: HTTP/3 tells of a message without a body only once its stream ends.
    ///
    /// # Errors
    /// The stream broke off.
    pub async fn look_ahead(&mut self) -> Result<(), BoxError> {
        self.ahead = self.frame().await.transpose()?;
        Ok(())
    }
}

impl<S: Receive + Unpin> http_body::Body for Incoming<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.ahead.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.reading == Reading::Data {
            match ready!(self.stream.poll_data(cx))? {
                Some(data) => {
                    self.remaining.take(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                None => self.reading = Reading::Trailers,
            }
        }
        if self.reading == Reading::Trailers {
            let trailers = ready!(self.stream.poll_trailers(cx))?;
            self.remaining.end()?;
            self.reading = Reading::Done;
            if let Some(trailers) = trailers {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.reading == Reading::Done
    }
}
