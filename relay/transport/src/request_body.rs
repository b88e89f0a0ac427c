//! A request's body with its bounds: how long it may be, and how long it may pause.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{LengthLimitError, Limited};
use tokio::time::{Instant, Sleep};

use crate::body::{Body, BoxError};
use crate::limits::Limits;
use crate::stats::{Bound, ListenerStats};

/// Breaks off where a bound is met, and counts it.
pub(crate) struct RequestBody {
    body: Limited<Body>,
    pause: Duration,
    /// Armed only while the body keeps somebody waiting.
    waiting: Option<Pin<Box<Sleep>>>,
    /// A service that has begun to answer knows why it reads on: a stream may pause for hours.
    answered: Arc<AtomicBool>,
    stats: ListenerStats,
    broken: bool,
}

impl RequestBody {
    /// The body, and what says that its request has been answered.
    pub(crate) fn new(body: Body, limits: &Limits, stats: ListenerStats) -> (Self, Arc<AtomicBool>) {
        let answered = Arc::new(AtomicBool::new(false));
        let max = usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX);
        let this = Self {
            body: Limited::new(body, max),
            pause: limits.body_timeout(),
            waiting: None,
            answered: Arc::clone(&answered),
            stats,
            broken: false,
        };
        (this, answered)
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        if self.answered.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let pause = self.pause;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(waiting.as_mut().poll(cx));
        if self.answered.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.stats.refused(Bound::BodyTime);
        self.broken = true;
        Poll::Ready("the request's body paused for too long (`limits.body_timeout_ms`)".into())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.broken {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.poll_pause(cx).map(|error| Some(Err(error))),
            Poll::Ready(Some(Err(error))) => {
                if error.is::<LengthLimitError>() {
                    self.stats.refused(Bound::BodyBytes);
                }
                self.broken = true;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(frame) => {
                let next = Instant::now().checked_add(self.pause);
                if let (Some(waiting), Some(next)) = (&mut self.waiting, next) {
                    waiting.as_mut().reset(next);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
