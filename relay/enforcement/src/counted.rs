//! Counting a call that was let go exactly once, however it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use relay_core::{DowngradeReason, Encoding, Protocol, RpcStyle};
use relay_transport::{Body, BoxError, body, respond};

use crate::checkpoint::{Checkpoint, Passage};
use crate::outcome::Outcome;

/// A call on its way. It is counted when this is dropped: as failed, unless an answer was told. So
/// is a call whose caller went away or whose time ran out.
#[derive(Debug)]
pub struct Counted {
    checkpoint: Arc<Checkpoint>,
    protocol: Protocol,
    encoding: Encoding,
    outcome: Outcome,
    span: tracing::Span,
    /// Whether the span says the protocol already.
    is_told: bool,
}

impl Checkpoint {
    /// Begins to count a call that came in over `protocol`, which its span says already.
    #[must_use]
    pub fn counted(self: &Arc<Self>, protocol: Protocol, encoding: Encoding, span: tracing::Span) -> Counted {
        let checkpoint = Arc::clone(self);
        Counted { checkpoint, protocol, encoding, outcome: Outcome::Failed, span, is_told: true }
    }

    /// Begins to count a call that goes out, at best over `hoped`.
    #[must_use]
    pub fn counted_hoping(
        self: &Arc<Self>,
        hoped: Protocol,
        encoding: Encoding,
        span: tracing::Span,
    ) -> Counted {
        let mut counted = self.counted(hoped, encoding, span);
        counted.is_told = false;
        counted
    }
}

impl Counted {
    /// The protocol turned out to be this one.
    pub fn over(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The call was downgraded, or not.
    pub fn passed(&self, passage: Passage) {
        self.span.record("downgrade", passage.downgrade.map(DowngradeReason::name));
    }

    /// An answer came. It says at once how the call ended, unless it is gRPC's and its outcome comes
    /// in trailers: then the call is counted once they, or the body's end, have passed.
    #[must_use]
    pub fn answered(mut self, style: RpcStyle, response: Response<Body>) -> Response<Body> {
        if style != RpcStyle::Grpc || !response.status().is_success() {
            self.outcome = Outcome::of(response.status());
            return response;
        }
        let in_trailers = || response.body().known_trailers().and_then(respond::read_grpc_code);
        match respond::read_grpc_code(response.headers()).or_else(in_trailers) {
            Some(code) => {
                self.outcome = Outcome::of_code(code);
                response
            }
            None => response.map(|body| body::boxed(Ending { body, counted: Some(self) })),
        }
    }

    /// The span of the call.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        self.span.clone()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.checkpoint.ended(self.protocol, self.encoding, self.outcome);
        if !self.is_told {
            self.span.record("protocol", self.protocol.name());
        }
        self.span.record("outcome", self.outcome.name());
        tracing::debug!(target: "omnirelay::call", parent: &self.span, "ended");
    }
}

/// An answer whose end says how its call ended.
struct Ending {
    body: Body,
    counted: Option<Counted>,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let trailers = match &frame {
            Some(Ok(piece)) if piece.is_data() => return Poll::Ready(frame),
            Some(Ok(piece)) => piece.trailers_ref(),
            Some(Err(_)) | None => None,
        };
        if let Some(mut counted) = self.counted.take()
            && let Some(code) = trailers.and_then(respond::read_grpc_code)
        {
            counted.outcome = Outcome::of_code(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
