//! The body of every request and response.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h3::error::StreamError;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use relay_core::{Code, Status};

use crate::http1::Http1Incoming;
use crate::quic::Malformed;
use crate::reset::{Http2Incoming, Reset};
use crate::spare;

/// Any error that a body can end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body whose concrete type is erased; one that is known in full needs no allocation.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    /// What is left of a body that is known in full.
    Known {
        data: Option<Bytes>,
        trailers: Option<HeaderMap>,
    },
    /// A request that hyper receives over HTTP/1.1.
    Http1Request(Http1Incoming),
    /// An answer that hyper receives over HTTP/1.1.
    Http1(hyper::body::Incoming),
    /// What hyper receives over HTTP/2.
    Http2(Http2Incoming),
    Streamed(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// The trailers of a body that is known in full; `None` where it streams or has none.
    #[must_use]
    pub fn known_trailers(&self) -> Option<&HeaderMap> {
        match &self.0 {
            Kind::Known { trailers, .. } => trailers.as_ref(),
            Kind::Http1Request(_) | Kind::Http1(_) | Kind::Http2(_) | Kind::Streamed(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Known { data, trailers } => {
                let frame = data.take().map(Frame::data);
                Poll::Ready(frame.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
            Kind::Http1Request(body) => Pin::new(body).poll_frame(cx),
            Kind::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Http2(body) => Pin::new(body).poll_frame(cx),
            Kind::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Known { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Http1Request(body) => body.is_end_stream(),
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2(body) => body.is_end_stream(),
            Kind::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Known { data, trailers: None } => {
                let left = data.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
            }
            // A length on the wire would tell HTTP/1.1 that nothing comes after it.
            Kind::Known { .. } => SizeHint::default(),
            Kind::Http1Request(body) => body.size_hint(),
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2(body) => body.size_hint(),
            Kind::Streamed(body) => body.size_hint(),
        }
    }
}

impl Body {
    /// Whether nothing of the body has to be waited for.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self.0, Kind::Known { .. })
    }
}

impl Default for Body {
    fn default() -> Self {
        empty()
    }
}

/// A body without bytes.
#[must_use]
pub fn empty() -> Body {
    Body(Kind::Known { data: None, trailers: None })
}

/// A body of one piece.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Body(Kind::Known { data: Some(bytes.into()).filter(|data| !data.is_empty()), trailers: None })
}

/// A body of one piece with trailers after it; empty trailers are none.
pub fn with_trailers(bytes: impl Into<Bytes>, trailers: HeaderMap) -> Body {
    let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
    Body(Kind::Known { data: Some(bytes.into()).filter(|data| !data.is_empty()), trailers })
}

impl From<hyper::body::Incoming> for Body {
    fn from(body: hyper::body::Incoming) -> Self {
        Self(Kind::Http1(body))
    }
}

impl From<Http1Incoming> for Body {
    fn from(body: Http1Incoming) -> Self {
        Self(Kind::Http1Request(body))
    }
}

impl From<Http2Incoming> for Body {
    fn from(body: Http2Incoming) -> Self {
        Self(Kind::Http2(body))
    }
}

/// Erases the type of a body.
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Body(Kind::Streamed(body.map_err(Into::into).boxed_unsync()))
}

/// An answer's body that keeps `held` for as long as it lives: a place among those in flight, say.
pub fn holding<T: Send + Unpin + 'static>(body: Body, held: T) -> Body {
    boxed(Holding { body, _held: held })
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of at most `max` bytes: one that goes on ends with what `above` makes of `max`, whatever has been passed on
/// by then. What is told beside it holds that from then on: whoever was sent half of it may answer what they like.
pub fn limited(body: Body, max: u64, above: fn(u64) -> Status) -> (Body, Arc<OnceLock<Status>>) {
    let told = Arc::default();
    (boxed(Limited { body, left: max, max, above, told: Arc::clone(&told) }), told)
}

struct Limited {
    body: Body,
    left: u64,
    max: u64,
    above: fn(u64) -> Status,
    told: Arc<OnceLock<Status>>,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.told.get().is_some() {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)?);
        let size = frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        match u64::try_from(size).ok().and_then(|size| self.left.checked_sub(size)) {
            Some(left) => self.left = left,
            None => {
                let above = self.told.get_or_init(|| (self.above)(self.max));
                return Poll::Ready(Some(Err(above.clone().into())));
            }
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.told.get().is_some() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads a body of at most `max` bytes into one piece; trailers are dropped.
///
/// # Errors
/// `resource-exhausted` above `max`, and `unavailable` where the sender breaks off.
pub async fn collect_limited(body: Body, max: usize) -> Result<Bytes, Status> {
    let (bytes, trailers) = collect_with_trailers(body, max).await?;
    trailers.into_iter().for_each(spare::give);
    Ok(bytes)
}

/// As [`collect_limited`], and gives the trailers.
///
/// # Errors
/// As [`collect_limited`].
pub async fn collect_with_trailers(body: Body, max: usize) -> Result<(Bytes, Option<HeaderMap>), Status> {
    let mut collect = Collect::new(body, max);
    std::future::poll_fn(|cx| collect.poll(cx)).await
}

/// A body that is read into one piece, for those who poll; [`collect_with_trailers`] is for those who
/// wait. A body that came in one piece is not copied.
#[derive(Debug)]
pub struct Collect {
    body: Body,
    max: usize,
    first: Bytes,
    rest: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Collect {
    /// Reads at most `max` bytes.
    #[must_use]
    pub fn new(body: Body, max: usize) -> Self {
        Self { body, max, first: Bytes::new(), rest: BytesMut::new(), trailers: None }
    }

    /// The whole body and its trailers; asked for once.
    ///
    /// # Errors
    /// As [`collect_limited`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Bytes, Option<HeaderMap>), Status>> {
        while let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let frame = frame.map_err(|error| broken(error.as_ref()))?;
            let read = self.first.len() + self.rest.len();
            match frame.into_data() {
                Ok(data) if read + data.len() > self.max => return Poll::Ready(Err(too_large(self.max))),
                Ok(data) if self.first.is_empty() => self.first = data,
                Ok(data) => self.rest.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        let first = std::mem::take(&mut self.first);
        if self.rest.is_empty() {
            return Poll::Ready(Ok((first, self.trailers.take())));
        }
        let mut whole = BytesMut::with_capacity(first.len() + self.rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&std::mem::take(&mut self.rest));
        Poll::Ready(Ok((whole.freeze(), self.trailers.take())))
    }
}

/// What the error that ended a body says of the call: a status that stands in it, the code of a
/// reset stream, or `unavailable`.
#[must_use]
pub fn broken(error: &(dyn std::error::Error + 'static)) -> Status {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(status) = error.downcast_ref::<Status>() {
            return status.clone();
        }
        if let Some(reset) = error.downcast_ref::<Reset>() {
            return reset.status().clone();
        }
        if let Some(StreamError::RemoteTerminate { code, .. }) = error.downcast_ref::<StreamError>() {
            let code = Code::from_h3_reset(code.value());
            return Status::new(code, format!("the peer reset the stream: {error}"));
        }
        if let Some(StreamError::Undefined(inner)) = error.downcast_ref::<StreamError>()
            && let Some(malformed) = inner.downcast_ref::<Malformed>()
        {
            return Status::internal(malformed.to_string());
        }
        if let Some(malformed) = error.downcast_ref::<Malformed>() {
            return Status::internal(malformed.to_string());
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return reset_of_http2(error);
        }
        next = error.source();
    }
    Status::unavailable(format!("the body broke off: {error}"))
}

/// A stream's own end has its code; a connection that ended says nothing of the call.
fn reset_of_http2(error: &h2::Error) -> Status {
    match error.reason() {
        Some(reason) if !error.is_go_away() => {
            Status::new(Code::from_h2_reset(reason.into()), format!("the stream was reset: {error}"))
        }
        _ => Status::unavailable(format!("the connection ended: {error}")),
    }
}

fn too_large(max: usize) -> Status {
    Status::new(Code::ResourceExhausted, format!("the body is above {max} bytes"))
        .with_hint("send less in one message")
}
