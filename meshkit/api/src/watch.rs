//! Following records over SSE and gRPC, on the store's watches.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use meshkit_model::{Invalid, Record};
use meshkit_store::{Event, Filter, Form, Start, Told, Watch};
use omnirelay_proto::meshkit::v1::{self, WatchEventType};
use relay_core::Status;
use serde_json::json;

use crate::error::{grpc_status, invalid, store_status};
use crate::gate::Gate;

/// Quiet after which a watcher is told how far it is: shorter than what proxies call idle.
const BOOKMARK: Duration = Duration::from_secs(15);
/// What a browser or a client sends when it resumes (HTML Living Standard, section 9.2).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Gate {
    /// Begins a watch: with a token where there is one, else behind a revision, else with the next
    /// change (revision 0).
    ///
    /// # Errors
    /// `invalid-argument` for a token that does not fit, `unavailable` where too many watch.
    pub fn watch(&self, filter: Filter, after: u64, token: &str) -> Result<Watch, Status> {
        let start = match (token, after) {
            ("", 0) => Start::Now,
            ("", after) => Start::After(after),
            (token, _) => Start::Token(token.to_owned()),
        };
        self.store.watch(filter, &start, BOOKMARK).map_err(|error| store_status(&error))
    }

    /// A watch as server-sent events: `put`, `deleted`, `bookmark` and `resync-required`. `shown`
    /// makes of a record what everybody sees. The stream ends when the process drains.
    pub fn sse<R: Record, S: serde::Serialize + 'static>(&self, watch: Watch, shown: fn(R) -> S) -> Response {
        let events = watch.stream(move |watch, told| frame(&watch.token(), &told, shown));
        // A store that cannot be read now ends the stream; the client comes back with its token.
        let events = events.take_while(|event| std::future::ready(event.is_ok()));
        self.sse_of(events.filter_map(async |event| event.ok()).boxed())
    }

    /// Frames as server-sent events, until they end or the process drains.
    pub fn sse_of(&self, frames: BoxStream<'static, Bytes>) -> Response {
        let frames = frames.map(Ok::<_, Infallible>);
        let hello = stream::iter([Ok(Bytes::from_static(b"retry: 1000\n\n"))]);
        let drain = self.drain.clone();
        let ended = Box::pin(async move { drain.started().await });
        let mut response = Response::new(Body::from_stream(hello.chain(frames).take_until(ended)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        response
    }

    /// A watch as messages of a gRPC stream; `write` makes one of an event and the record that it
    /// shows. The stream ends with `UNAVAILABLE` when the process drains.
    pub fn grpc_watch<R: Record, T: Send + 'static>(
        &self,
        watch: Watch,
        write: impl Fn(v1::WatchEvent, Option<R>) -> Result<T, Status> + Send + 'static,
    ) -> BoxStream<'static, Result<T, tonic::Status>> {
        let events = watch.stream(move |watch, told| {
            let (event, record) = message(watch.token(), &told);
            write(event, record)
        });
        self.grpc_of(events.map(|event| event.unwrap_or_else(|error| Err(store_status(&error)))))
    }

    /// Messages as a gRPC stream, which ends with `UNAVAILABLE` when the process drains.
    pub fn grpc_of<T: Send + 'static>(
        &self,
        messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, tonic::Status>> {
        let answers = messages.map(|message| message.map_err(|status| grpc_status(&status)));
        let drain = self.drain.clone();
        let ended = Box::pin(async move { drain.started().await });
        let leaving = Status::unavailable("meshkitd drains").with_hint("resume with the last token");
        let goodbye = stream::iter([Err(grpc_status(&leaving))]);
        answers.take_until(ended).chain(goodbye).boxed()
    }
}

/// Where a watch over REST resumes: `Last-Event-ID`, else the `resume` of the query.
///
/// # Errors
/// `invalid-argument` for a header that is not printable ASCII.
pub fn resume_token<'a>(headers: &'a HeaderMap, resume: &'a str) -> Result<&'a str, Status> {
    match headers.get(LAST_EVENT_ID) {
        None => Ok(resume),
        Some(value) => value
            .to_str()
            .map_err(|_| invalid(&Invalid::new("last-event-id", "is not a token that a watch gave"))),
    }
}

fn frame<R: Record, S: serde::Serialize>(token: &str, told: &Told, shown: fn(R) -> S) -> Bytes {
    let (name, data) = match told {
        Told::Event { event, matches: true } => {
            ("put", event.encoded(Form::Json, |event| shown_json(event, shown)))
        }
        Told::Event { event, matches: false } => {
            let data = json!({ "key": event.change().key, "revision": event.revision() });
            ("deleted", data.to_string().into())
        }
        Told::Bookmark(position) => ("bookmark", json!({ "revision": position.revision }).to_string().into()),
        Told::ResyncRequired { why } => ("resync-required", json!({ "reason": why }).to_string().into()),
    };
    let mut frame = format!("id: {token}\nevent: {name}\ndata: ").into_bytes();
    frame.extend_from_slice(&data);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

fn shown_json<R: Record, S: serde::Serialize>(event: &Event, shown: fn(R) -> S) -> Bytes {
    let record = event.record::<R>().map(shown);
    json!({ "key": event.change().key, "revision": event.revision(), "record": record }).to_string().into()
}

fn message<R: Record>(resume_token: String, told: &Told) -> (v1::WatchEvent, Option<R>) {
    let event =
        |kind: WatchEventType| v1::WatchEvent { r#type: kind.into(), resume_token, ..Default::default() };
    match told {
        Told::Event { event: change, matches } => {
            let kind = if *matches { WatchEventType::Put } else { WatchEventType::Deleted };
            let about = v1::WatchEvent {
                key: change.change().key.clone(),
                revision: change.revision(),
                ..event(kind)
            };
            (about, change.record().filter(|_| *matches))
        }
        Told::Bookmark(position) => {
            (v1::WatchEvent { revision: position.revision, ..event(WatchEventType::Bookmark) }, None)
        }
        Told::ResyncRequired { why } => {
            (v1::WatchEvent { reason: (*why).to_owned(), ..event(WatchEventType::ResyncRequired) }, None)
        }
    }
}
