//! What is left of a request's body when it is answered early. Over HTTP/1.1 a connection on which a body was not read cannot
//! be used again, and whoever has sent its next request on it by then would not know what became of that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{Request, Version};
use http_body::{Frame, SizeHint};
use relay_transport::{Body, BoxError, body};

/// Longer bodies are not waited for: their connection ends.
const MAX: usize = 64 << 10;
/// Nor is one that comes slowly.
const PATIENCE: Duration = Duration::from_secs(1);

type Shared = Arc<Mutex<Body>>;

/// The rest of a body, if it is worth being read.
pub(crate) struct Leftover(Option<Shared>);

/// Keeps a hold on a request's body that is short and comes over HTTP/1.1.
pub(crate) fn keep(request: Request<Body>) -> (Request<Body>, Leftover) {
    let length =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let is_short = length.is_some_and(|length| (1..=MAX).contains(&length));
    // Who waits to be asked for a body has not sent it.
    let comes = request.version() <= Version::HTTP_11 && !request.headers().contains_key(EXPECT);
    if !is_short || !comes {
        return (request, Leftover(None));
    }
    let (head, given) = request.into_parts();
    let shared = Arc::new(Mutex::new(given));
    let lent = body::boxed(Lent(Arc::clone(&shared)));
    (Request::from_parts(head, lent), Leftover(Some(shared)))
}

impl Leftover {
    /// Reads what nobody has read.
    pub(crate) async fn read(self) {
        let Some(shared) = self.0 else { return };
        let rest = Lent(shared);
        if !http_body::Body::is_end_stream(&rest) {
            // Whatever comes of it, the answer is made already.
            let _read = tokio::time::timeout(PATIENCE, body::collect_limited(body::boxed(rest), MAX)).await;
        }
    }
}

struct Lent(Shared);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
