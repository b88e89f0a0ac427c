//! The history as server-sent events (WHATWG HTML, section 9.2).
//!
//! A reader who is too slow costs nothing: it reads from the one history, and where that has moved
//! on it is told how much it missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use omnirelay_runtime::Drain;
use relay_core::Status;
use relay_core::observe::DowngradeEvent;
use relay_transport::{Body, body};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::events::{Batch, Events, Start};

/// Silence after which a comment shows that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct Reader {
    events: Arc<Events>,
    start: Start,
    more: watch::Receiver<u64>,
    drain: Drain,
    is_new: bool,
    _place: OwnedSemaphorePermit,
}

/// The events from `start` on, until the drain begins or the reader goes away.
///
/// # Errors
/// `resource-exhausted` where too many watch already.
pub(crate) fn stream(events: Arc<Events>, start: Start, drain: Drain) -> Result<Response<Body>, Status> {
    let place = events.admit()?;
    let more = events.subscribe();
    let reader = Reader { events, start, more, drain, is_new: true, _place: place };
    let frames = futures_util::stream::unfold(reader, async |mut reader| {
        let text = reader.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), reader))
    });
    let mut response = Response::new(body::boxed(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Reader {
    /// What is written next; none at the end.
    async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_new) {
            // Written at once, so that the reader knows that it is heard.
            return Some("retry: 1000\n\n".to_owned());
        }
        loop {
            if self.drain.is_draining() {
                return None;
            }
            // Seen before the history is read: what comes after it wakes us.
            self.more.borrow_and_update();
            let Batch { missed, events, next } = self.events.after(self.start);
            let gap = (missed != Some(0)).then(|| gap(missed));
            self.start = Start::At(next);
            if gap.is_some() || !events.is_empty() {
                let told = events.iter().map(|event| record(event));
                return Some(gap.into_iter().chain(told).collect());
            }
            tokio::select! {
                () = self.drain.started() => return None,
                changed = self.more.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(": keep-alive\n\n".to_owned()),
            }
        }
    }
}

fn record(event: &DowngradeEvent) -> String {
    // JSON has no raw line breaks, so that it stays one line of data.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind.name())
}

fn gap(missed: Option<u64>) -> String {
    format!("event: gap\ndata: {}\n\n", serde_json::json!({ "missed": missed }))
}
