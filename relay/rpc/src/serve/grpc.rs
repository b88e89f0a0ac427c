//! gRPC: framed messages, the outcome in trailers (`PROTOCOL-HTTP2.md`; over HTTP/3 proposal G2).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use relay_core::{Code, Encoding, RpcStyle, Status, headers};
use relay_transport::{Body, BoxError, body, respond, spare};
use tokio::time::Instant;

use super::deadline::exceeded;
use super::http::accept_oneway;
use super::{Deadline, within};
use crate::call::Call;
use crate::compression::{self, Compression};
use crate::dispatcher::{Entry, Settings};
use crate::frame::{Encoded, Frames};
use crate::metadata;
use crate::procedure::{Beside, Input, Output, Outputs, RpcRequest, RpcResponse, Shape, poll_output};
use crate::reply::Control;

pub(crate) async fn answer(settings: &Settings, entry: &Entry, call: Call, body: Body) -> Response<Body> {
    let (asked, deadline) = (Asked::of(settings, &call), call.deadline());
    let frames = match frames(settings, &call, body) {
        Ok(frames) => frames,
        Err(refusal) => return *refusal,
    };
    let work = async {
        let request = read(entry.shape, call, frames).await?;
        if entry.shape == Shape::Oneway {
            let mut accepted = accept_oneway(settings, entry, request).await?;
            if asked.encoding == Encoding::Json {
                // gRPC has one message even here, and no bytes are no JSON.
                accepted.output = Output::One(Encoded::new(b"{}"));
            }
            return Ok(accepted);
        }
        entry.procedure.run(request).await
    };
    match within(deadline, &entry.name, work).await.map(RpcResponse::split) {
        Ok((beside, Output::One(message))) => asked.whole(beside, message, settings.max_message),
        Ok((beside, Output::Stream(stream))) => {
            asked.streamed(settings, &entry.name, deadline, beside, stream).await
        }
        Err(status) => respond::grpc(&status),
    }
}

/// What an answer has to know of its call, kept since the call is the handler's.
pub(crate) struct Asked {
    encoding: Encoding,
    packing: Packing,
}

impl Asked {
    pub(crate) fn of(settings: &Settings, call: &Call) -> Self {
        Self { encoding: call.encoding(), packing: Packing::of(settings, call) }
    }
}

/// The messages of a request, or the refusal of a compression that is not known.
pub(crate) fn frames(settings: &Settings, call: &Call, body: Body) -> Result<Frames, Box<Response<Body>>> {
    let compression = if call.facts().names_compression {
        Compression::of(call.headers())
    } else {
        Ok(Compression::Identity)
    };
    match compression {
        Ok(compression) => Ok(Frames::new(body, compression, settings.max_message)),
        Err(status) => {
            let mut refusal = respond::grpc(&status);
            refusal.headers_mut().insert(headers::GRPC_ACCEPT_ENCODING, compression::ACCEPTED);
            Err(Box::new(refusal))
        }
    }
}

async fn read(shape: Shape, mut call: Call, mut frames: Frames) -> Result<RpcRequest, Status> {
    if shape.streams_in() {
        return Ok(RpcRequest { call, input: Input::Stream(Box::new(frames)) });
    }
    let message = frames.only().await?;
    call.mark_compressed(frames.is_compressed());
    Ok(RpcRequest { call, input: Input::One(message) })
}

fn head(packing: &Packing, may_change: bool, encoding: Encoding, custom: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.headers_mut() = spare::take();
    let content_type = match encoding {
        Encoding::Json => "application/grpc+json",
        Encoding::Protobuf | Encoding::Raw => "application/grpc",
    };
    let into = response.headers_mut();
    into.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if packing.may_compress(may_change) {
        into.insert(headers::GRPC_ENCODING, compression::GZIP);
    }
    metadata::put(RpcStyle::Grpc, custom, into);
    response
}

impl Asked {
    /// An answer of one message: known in full, so its body is too.
    pub(crate) fn whole(mut self, beside: Beside, message: Encoded, max: usize) -> Response<Body> {
        if message.len() > max {
            return respond::grpc(&compression::too_large(max));
        }
        let Beside { metadata, trailers, compressed, control } = beside;
        self.packing.asked = compressed;
        let mut response = head(&self.packing, control.is_some(), self.encoding, metadata);
        let mut last = spare::take();
        respond::put_grpc_status(&mut last, &Status::new(Code::Ok, ""));
        metadata::put(RpcStyle::Grpc, trailers, &mut last);
        if let Some(control) = &control {
            metadata::put(RpcStyle::Grpc, control.take_trailers(), &mut last);
        }
        *response.body_mut() = body::with_trailers(self.packing.pack(message, control.as_ref()), last);
        response
    }

    /// An answer of many messages.
    pub(crate) async fn streamed(
        self,
        settings: &Settings,
        name: &str,
        deadline: Option<Instant>,
        beside: Beside,
        stream: Outputs,
    ) -> Response<Body> {
        let Self { encoding, mut packing } = self;
        let Beside { metadata, trailers, compressed, control } = beside;
        packing.asked = compressed;
        let mut answer = Streamed {
            stream: Some(stream),
            first: None,
            packing,
            control,
            trailers,
            deadline: Deadline::at(deadline),
            name: name.to_owned(),
            max: settings.max_message,
            ended: false,
        };
        // What fails before its first message is answered with trailers alone; one look is enough for
        // that, as a stream that has to wait is under way.
        let first = std::future::poll_fn(|cx| Poll::Ready(answer.poll_message(cx))).await;
        match first {
            Poll::Ready(Err(status)) => {
                let mut refusal = respond::grpc(&status);
                metadata::put(RpcStyle::Grpc, metadata, refusal.headers_mut());
                metadata::put(RpcStyle::Grpc, answer.all_trailers(), refusal.headers_mut());
                return refusal;
            }
            Poll::Ready(Ok(Some(message))) => answer.first = Some(message),
            Poll::Ready(Ok(None)) => answer.stream = None,
            Poll::Pending => {}
        }
        let mut response = head(&answer.packing, answer.control.is_some(), encoding, metadata);
        *response.body_mut() = body::boxed(answer);
        response
    }
}

/// Whether messages of an answer are compressed.
struct Packing {
    understood: bool,
    from: Option<usize>,
    asked: Option<bool>,
}

impl Packing {
    fn of(settings: &Settings, call: &Call) -> Self {
        Self { understood: call.facts().accepts_gzip, from: settings.compress_from, asked: None }
    }

    fn may_compress(&self, may_change: bool) -> bool {
        self.understood && self.asked.unwrap_or(may_change || self.from.is_some())
    }

    fn pack(&self, message: Encoded, control: Option<&Control>) -> Bytes {
        let told = control.and_then(Control::compressed).or(self.asked);
        let wanted = told.unwrap_or_else(|| self.from.is_some_and(|from| message.len() >= from));
        if wanted && self.may_compress(control.is_some()) { message.gzipped() } else { message.framed() }
    }
}

/// An answer of many messages. The next one is asked for once the last one was taken; dropping the
/// body drops the handler's stream.
struct Streamed {
    stream: Option<Outputs>,
    first: Option<Encoded>,
    packing: Packing,
    control: Option<Control>,
    trailers: HeaderMap,
    deadline: Deadline,
    name: String,
    max: usize,
    ended: bool,
}

impl Streamed {
    /// The next message; `None` at the stream's end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Encoded>, Status>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(first)));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(None));
        };
        if self.deadline.poll_passed(cx) {
            return Poll::Ready(Err(exceeded(&self.name)));
        }
        match poll_output(stream, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(message))) if message.len() > self.max => {
                Poll::Ready(Err(compression::too_large(self.max)))
            }
            Poll::Ready(Some(next)) => Poll::Ready(next.map(Some)),
        }
    }

    fn all_trailers(&mut self) -> HeaderMap {
        let mut all = std::mem::take(&mut self.trailers);
        if let Some(control) = self.control.take() {
            all.extend(control.take_trailers());
        }
        all
    }

    fn end(&mut self, status: &Status) -> HeaderMap {
        self.ended = true;
        self.stream = None;
        let mut last = HeaderMap::new();
        respond::put_grpc_status(&mut last, status);
        metadata::put(RpcStyle::Grpc, self.all_trailers(), &mut last);
        last
    }
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.poll_message(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(next) => next,
        };
        let status = match next {
            Ok(Some(message)) => {
                let packed = self.packing.pack(message, self.control.as_ref());
                return Poll::Ready(Some(Ok(Frame::data(packed))));
            }
            Ok(None) => Status::new(Code::Ok, ""),
            Err(status) => status,
        };
        Poll::Ready(Some(Ok(Frame::trailers(self.end(&status)))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
