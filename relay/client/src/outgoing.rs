//! A request on its way out that can be sent again where it certainly had no effect.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use http_body::{Body as _, Frame};
use relay_core::Status;
use relay_transport::{Body, BoxError, Reset, body};

/// Bytes of a streamed body that are kept for a second try; a request that has sent more is not
/// sent again.
const MAX_KEPT: usize = 64 << 10;

/// Says that carrying a request out twice does what carrying it out once does, so that the channel
/// may move it to another connection although it may have arrived. Goes into the request's
/// extensions; safe methods (RFC 9110, section 9.2.1) need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotent;

/// A request that remembers what has been taken of its body, up to 64 KiB, so that it can be sent
/// again.
pub struct Outgoing {
    /// The request without its body.
    pub head: Parts,
    body: Content,
}

enum Content {
    Empty,
    /// All of a small message: nearly every unary call.
    Whole(Bytes),
    Streamed(Arc<Mutex<Tape>>),
}

impl Outgoing {
    /// Looks at what is there of the body without waiting for any of it.
    pub async fn new(request: Request<Body>) -> Self {
        let (head, mut body) = request.into_parts();
        if body.is_end_stream() {
            return Self { head, body: Content::Empty };
        }
        let content = std::future::poll_fn(|cx| Poll::Ready(look_at(&mut body, cx))).await;
        let body = match content {
            Ok(content) => content,
            Err(kept) => {
                let bytes = kept.iter().map(Kept::len).sum();
                Content::Streamed(Arc::new(Mutex::new(Tape {
                    body,
                    kept,
                    next: 0,
                    round: 0,
                    bytes,
                    overflown: false,
                    broke_off: None,
                })))
            }
        };
        Self { head, body }
    }

    /// Why the request's own body broke off, where it did: then nothing that came of it speaks against the peer.
    pub(crate) fn broke_off(&self) -> Option<Status> {
        let Content::Streamed(tape) = &self.body else { return None };
        tape.lock().unwrap_or_else(PoisonError::into_inner).broke_off.clone()
    }

    /// Whether the request may be carried out a second time.
    pub(crate) fn is_idempotent(&self) -> bool {
        const SAFE: [Method; 4] = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        SAFE.contains(&self.head.method) || self.head.extensions.get::<Idempotent>().is_some()
    }

    /// The body from where it was rewound to; readers from before that get an error.
    pub(crate) fn body(&self) -> Body {
        match &self.body {
            Content::Empty => body::empty(),
            Content::Whole(bytes) => body::full(bytes.clone()),
            Content::Streamed(tape) => {
                let round = tape.lock().unwrap_or_else(PoisonError::into_inner).round;
                body::boxed(Reader { tape: Arc::clone(tape), round })
            }
        }
    }

    /// The body where it is one piece; `None` where it is streamed.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        match &self.body {
            Content::Empty => Some(Bytes::new()),
            Content::Whole(bytes) => Some(bytes.clone()),
            Content::Streamed(_) => None,
        }
    }

    /// Goes back to the beginning; false where too much has been sent for that.
    #[must_use]
    pub fn rewind(&mut self) -> bool {
        match &self.body {
            Content::Empty | Content::Whole(_) => true,
            Content::Streamed(tape) => {
                let mut tape = tape.lock().unwrap_or_else(PoisonError::into_inner);
                (tape.next, tape.round) = (0, tape.round + 1);
                !tape.overflown
            }
        }
    }

    /// The request for one try, without the extensions of the first.
    #[must_use]
    pub fn request(&self) -> Request<Body> {
        let mut request = Request::new(self.body());
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        request
    }
}

/// A body that is there in one piece, or what came of a longer one.
fn look_at(body: &mut Body, cx: &mut Context<'_>) -> Result<Content, Vec<Kept>> {
    let mut kept = Vec::new();
    loop {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(None) => {
                return Ok(match kept.pop() {
                    None => Content::Empty,
                    Some(Kept::Data(bytes)) => Content::Whole(bytes),
                    Some(other) => {
                        kept.push(other);
                        return Err(kept);
                    }
                });
            }
            Poll::Ready(Some(Ok(frame))) if holds_nothing(&frame) => {}
            Poll::Ready(Some(Ok(frame))) => kept.push(Kept::of(frame)),
            Poll::Ready(Some(Err(error))) => kept.push(Kept::Error(Some(error))),
            Poll::Pending => return Err(kept),
        }
        match kept.as_slice() {
            [] => {}
            [Kept::Data(bytes)] if body.is_end_stream() => return Ok(Content::Whole(bytes.clone())),
            [Kept::Data(bytes)] if bytes.len() <= MAX_KEPT => {}
            _ => return Err(kept),
        }
    }
}

/// Trailers that hold nothing are never sent.
fn holds_nothing(frame: &Frame<Bytes>) -> bool {
    frame.trailers_ref().is_some_and(HeaderMap::is_empty)
}

/// What was taken of a body.
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
    Error(Option<BoxError>),
}

impl Kept {
    fn of(frame: Frame<Bytes>) -> Self {
        match frame.into_data() {
            Ok(data) => Self::Data(data),
            Err(frame) => Self::Trailers(frame.into_trailers().unwrap_or_default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) | Self::Error(_) => 0,
        }
    }

    fn replay(&mut self) -> Result<Frame<Bytes>, BoxError> {
        match self {
            Self::Data(data) => Ok(Frame::data(data.clone())),
            Self::Trailers(trailers) => Ok(Frame::trailers(trailers.clone())),
            Self::Error(error) => Err(error.take().unwrap_or_else(|| "the body broke off".into())),
        }
    }
}

/// A body and what was taken of it, as far as that is kept.
struct Tape {
    body: Body,
    kept: Vec<Kept>,
    next: usize,
    /// How often it was rewound: a reader of an earlier try may not be gone yet.
    round: u32,
    bytes: usize,
    overflown: bool,
    broke_off: Option<Status>,
}

impl Tape {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(kept) = self.kept.get_mut(self.next) {
            self.next += 1;
            let frame = kept.replay();
            if self.bytes > MAX_KEPT && self.next == self.kept.len() {
                self.forget();
            }
            return Poll::Ready(Some(frame));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) if holds_nothing(&frame) => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        if self.overflown {
            return Poll::Ready(Some(Ok(frame)));
        }
        let mut kept = Kept::of(frame);
        let frame = kept.replay();
        self.bytes += kept.len();
        self.kept.push(kept);
        self.next = self.kept.len();
        if self.bytes > MAX_KEPT {
            self.forget();
        }
        Poll::Ready(Some(frame))
    }

    fn forget(&mut self) {
        self.overflown = true;
        self.kept = Vec::new();
        self.next = 0;
    }

    fn is_end(&self) -> bool {
        self.next == self.kept.len() && self.body.is_end_stream()
    }
}

struct Reader {
    tape: Arc<Mutex<Tape>>,
    round: u32,
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if tape.round != self.round {
            return Poll::Ready(Some(Err("the request was moved to another connection".into())));
        }
        // Whoever sends it on finds the code for its own protocol.
        tape.poll(cx).map_err(|error| {
            let status = body::broken(error.as_ref());
            tape.broke_off = Some(status.clone());
            Reset::from(status).into()
        })
    }

    fn is_end_stream(&self) -> bool {
        let tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.round == self.round && tape.is_end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn streamed(pieces: &[usize]) -> Body {
        let mut frames: Vec<Result<_, Infallible>> =
            pieces.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
        frames.push(Ok(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, "1".parse().unwrap())]))));
        body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn read(outgoing: &Outgoing) -> (usize, bool) {
        let body = outgoing.body().collect().await.unwrap();
        let trailers = body.trailers().is_some();
        (body.to_bytes().len(), trailers)
    }

    #[tokio::test]
    async fn what_was_sent_can_be_sent_again_up_to_a_bound() {
        for (body, expected) in [
            (body::empty(), (0, false)),
            (body::full("hello"), (5, false)),
            (streamed(&[]), (0, true)),
            (streamed(&[3, 0, 4]), (7, true)),
        ] {
            let mut outgoing = Outgoing::new(Request::new(body)).await;
            assert_eq!(read(&outgoing).await, expected);
            assert!(outgoing.rewind());
            assert_eq!(read(&outgoing).await, expected);
        }
        for pieces in [&[MAX_KEPT, 1][..], &[1, MAX_KEPT], &[MAX_KEPT + 1]] {
            let mut outgoing = Outgoing::new(Request::new(streamed(pieces))).await;
            assert_eq!(read(&outgoing).await, (MAX_KEPT + 1, true));
            assert!(!outgoing.rewind(), "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_there_is_one_piece() {
        assert_eq!(Outgoing::new(Request::new(body::full("a"))).await.whole(), Some("a".into()));
        assert_eq!(Outgoing::new(Request::new(body::empty())).await.whole(), Some(Bytes::new()));
        assert_eq!(Outgoing::new(Request::new(streamed(&[1]))).await.whole(), None);
    }

    #[tokio::test]
    async fn half_a_body_starts_over() {
        let mut outgoing = Outgoing::new(Request::new(streamed(&[1, 2, 3, 4]))).await;
        let mut first = outgoing.body();
        for _ in 0..3 {
            first.frame().await.unwrap().unwrap();
        }
        drop(first);
        assert!(outgoing.rewind());
        assert_eq!(read(&outgoing).await, (10, true));
    }
}
