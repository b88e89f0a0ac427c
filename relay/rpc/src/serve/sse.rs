//! A stream of answers as server-sent events (WHATWG HTML, section 9.2): one event a message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use relay_core::Status;
use relay_transport::{Body, BoxError, body};
use tokio::time::Instant;

use super::Deadline;
use super::deadline::exceeded;
use crate::compression::too_large;
use crate::frame::Encoded;
use crate::procedure::{Outputs, poll_output};

/// The answer to a call whose stream has begun.
///
/// # Errors
/// What fails before the first message.
pub(crate) async fn respond(
    stream: Outputs,
    deadline: Option<Instant>,
    name: &str,
    max: usize,
) -> Result<Response<Body>, Status> {
    let mut events = Events {
        stream: Some(stream),
        first: None,
        deadline: Deadline::at(deadline),
        name: name.to_owned(),
        max,
    };
    match std::future::poll_fn(|cx| Poll::Ready(events.poll_message(cx))).await {
        Poll::Ready(Some(Err(status))) => return Err(status),
        Poll::Ready(Some(Ok(message))) => events.first = Some(message),
        Poll::Ready(None) => events.stream = None,
        Poll::Pending => {}
    }
    let mut response = Response::new(body::boxed(events));
    let into = response.headers_mut();
    into.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    into.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Events {
    stream: Option<Outputs>,
    first: Option<Encoded>,
    deadline: Deadline,
    name: String,
    max: usize,
}

impl Events {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Encoded, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        if self.deadline.poll_passed(cx) {
            return Poll::Ready(Some(Err(exceeded(&self.name))));
        }
        let next = poll_output(stream, cx);
        if let Poll::Ready(Some(Ok(message))) = &next
            && message.len() > self.max
        {
            return Poll::Ready(Some(Err(too_large(self.max))));
        }
        next
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let event = match ready!(self.poll_message(cx)) {
            Some(Ok(message)) => event(b"", &message.into_message()),
            Some(Err(status)) => {
                self.stream = None;
                let words = serde_json::json!({
                    "code": status.code.name(), "message": status.message, "hint": status.hint,
                });
                event(b"event: error\n", words.to_string().as_bytes())
            }
            None => {
                self.stream = None;
                return Poll::Ready(None);
            }
        };
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

/// One event. JSON has no line breaks of its own where we wrote it; a line that has some is many
/// `data` lines, which the reader joins again.
fn event(kind: &[u8], data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(kind.len() + data.len() + 8);
    event.put_slice(kind);
    for line in data.split(|byte| *byte == b'\n') {
        event.put_slice(b"data: ");
        event.put_slice(line);
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
    event.freeze()
}
