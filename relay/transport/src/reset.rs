//! Messages that break off, so that they look so at the other end, with the code that says why.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use relay_core::Status;

use crate::body::{self, BoxError};

/// Why a message broke off, in words that each protocol understands: [`body::broken`] reads the
/// status of it, which gives HTTP/3's code, and hyper finds HTTP/2's among its sources.
#[derive(Debug)]
pub struct Reset {
    status: Status,
    http2: h2::Error,
}

impl Reset {
    /// What the error of a message's body says of it.
    #[must_use]
    pub fn of(error: &BoxError) -> Self {
        Self::from(body::broken(error.as_ref()))
    }
}

impl From<Status> for Reset {
    fn from(status: Status) -> Self {
        let http2 = h2::Reason::from(status.code.h2_reset()).into();
        Self { status, http2 }
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl std::error::Error for Reset {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.http2)
    }
}

impl Reset {
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }
}

/// A message's body over HTTP/2. hyper takes a reset with NO_ERROR for the end, which it is only
/// after END_STREAM (RFC 9113, section 8.1): here a message that is cut short is one.
#[derive(Debug)]
pub struct Http2Incoming(hyper::body::Incoming);

impl Http2Incoming {
    /// The body of a message that came over HTTP/2.
    #[must_use]
    pub fn new(incoming: hyper::body::Incoming) -> Self {
        Self(incoming)
    }
}

impl http_body::Body for Http2Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            Some(frame) => Poll::Ready(Some(frame.map_err(Into::into))),
            None if self.0.is_end_stream() => Poll::Ready(None),
            None => {
                let cut = Status::internal("the peer ended the stream before its message (NO_ERROR)");
                Poll::Ready(Some(Err(Reset::from(cut).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
