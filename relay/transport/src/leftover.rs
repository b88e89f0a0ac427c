//! What is left of a request's body when it is answered early. Over HTTP/1.1 a connection on which a body was not read cannot
//! be used again, and whoever has sent its next request on it by then would not know what became of that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http_body::{Body as _, Frame, SizeHint};

use crate::body::{self, Body, BoxError};

/// Longer bodies are not waited for: their connection ends.
const MAX: usize = 64 << 10;
/// Nor is one that comes slowly.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a body comes back to.
type Slot = Arc<Mutex<Option<Body>>>;

/// The rest of a body, if it is worth being read.
pub(crate) struct Leftover(Option<Slot>);

/// Lends the body of an HTTP/1.1 request to its service: of a short one what the service leaves comes back.
pub(crate) fn lend(head: &Parts, body: Body) -> (Body, Leftover) {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_short = length.is_some_and(|length: usize| (1..=MAX).contains(&length));
    // Who waits to be asked for a body has not sent it.
    if !is_short || head.headers.contains_key(EXPECT) {
        return (body, Leftover(None));
    }
    let slot = Slot::default();
    (body::boxed(Lent { body, back: Arc::clone(&slot) }), Leftover(Some(slot)))
}

impl Leftover {
    /// Reads what the service has left. One that answers while it reads on is not disturbed.
    pub(crate) async fn read(self) {
        let rest = self.0.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(rest) = rest {
            // Whatever comes of it, the answer is made already.
            let _read = tokio::time::timeout(PATIENCE, body::collect_limited(rest, MAX)).await;
        }
    }
}

struct Lent {
    body: Body,
    back: Slot,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let rest = std::mem::take(&mut self.body);
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl http_body::Body for Lent {
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
