//! YARPC over HTTP, and plain HTTP: one body each way, the outcome in headers.

use std::pin::Pin;
use std::task::Poll;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response};
use relay_core::{Encoding, RpcStyle, Status, headers};
use relay_transport::{Body, body, respond, spare};
use tokio::time::Instant;
use tracing::warn;

use super::{sse, within};
use crate::call::Call;
use crate::compression::too_large;
use crate::dispatcher::{Entry, Settings};
use crate::frame::Encoded;
use crate::metadata;
use crate::procedure::{Beside, Input, Output, Outputs, RpcRequest, RpcResponse, Shape};

/// What an answer repeats of its call, kept since the call is the handler's.
pub(crate) struct Asked {
    style: RpcStyle,
    encoding: Encoding,
    /// The service as it was called.
    service: Option<HeaderValue>,
}

impl Asked {
    pub(crate) fn of(settings: &Settings, call: &Call) -> Self {
        // A call that names another service has been refused.
        let named = call.style() == RpcStyle::Yarpc && call.facts().names_service;
        let service = if named { settings.service.clone() } else { None };
        Self { style: call.style(), encoding: call.encoding(), service }
    }

    pub(crate) fn failed(&self, status: &Status) -> Response<Body> {
        respond::status(self.style, status)
    }

    /// An answer of one message.
    pub(crate) fn whole(self, beside: Beside, message: Encoded, max: usize) -> Response<Body> {
        if message.len() > max {
            return self.failed(&too_large(max));
        }
        let mut response = Response::new(body::full(message.into_message()));
        *response.headers_mut() = spare::take();
        let content_type = match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Raw => "application/octet-stream",
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let control = beside.control.clone();
        let mut custom = self.custom(beside);
        if let Some(control) = control {
            metadata::put(self.style, control.take_trailers(), &mut custom);
        }
        self.finish(response, custom)
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
        let custom = self.custom(beside);
        match sse::respond(stream, deadline, name, settings.max_message).await {
            Ok(response) => self.finish(response, custom),
            Err(status) => self.failed(&status),
        }
    }

    /// The application's own headers and trailers, which are headers here.
    fn custom(&self, beside: Beside) -> HeaderMap {
        let mut custom = HeaderMap::new();
        metadata::put(self.style, beside.metadata, &mut custom);
        metadata::put(self.style, beside.trailers, &mut custom);
        custom
    }

    fn finish(self, mut response: Response<Body>, custom: HeaderMap) -> Response<Body> {
        let into = response.headers_mut();
        into.extend(custom);
        if self.style == RpcStyle::Yarpc {
            into.insert(headers::RPC_STATUS, HeaderValue::from_static("success"));
            into.insert(headers::RPC_ENCODING, HeaderValue::from_static(self.encoding.yarpc()));
            if let Some(service) = self.service {
                into.insert(headers::RPC_SERVICE, service);
            }
        }
        response
    }
}

pub(crate) async fn answer(settings: &Settings, entry: &Entry, call: Call, body: Body) -> Response<Body> {
    let (asked, deadline) = (Asked::of(settings, &call), call.deadline());
    let work = async {
        refuse(entry.shape, &call)?;
        let message = body::collect_limited(body, settings.max_message).await?;
        let request = RpcRequest { call, input: Input::One(message) };
        if entry.shape == Shape::Oneway {
            return accept_oneway(settings, entry, request).await;
        }
        entry.procedure.run(request).await
    };
    match within(deadline, &entry.name, work).await.map(RpcResponse::split) {
        Ok((beside, Output::One(message))) => asked.whole(beside, message, settings.max_message),
        Ok((beside, Output::Stream(stream))) => {
            asked.streamed(settings, &entry.name, deadline, beside, stream).await
        }
        Err(status) => asked.failed(&status),
    }
}

/// What cannot be said in one body each way.
pub(crate) fn refuse(shape: Shape, call: &Call) -> Result<(), Status> {
    if call.style() == RpcStyle::Http && call.head().method != Method::POST {
        return Err(Status::invalid_argument("a call is a POST").with_hint("send its message as the body"));
    }
    match shape {
        Shape::Unary | Shape::Oneway => Ok(()),
        Shape::ServerStream if call.encoding() == Encoding::Json && wants_events(call) => Ok(()),
        Shape::ServerStream => {
            Err(Status::unimplemented("the procedure answers with a stream, which this call does not take")
                .with_hint("send JSON with `Accept: text/event-stream`, or call it as gRPC"))
        }
        Shape::ClientStream | Shape::Bidi => {
            Err(Status::unimplemented("the procedure takes a stream, which HTTP with one body has not")
                .with_hint("call it as gRPC"))
        }
    }
}

fn wants_events(call: &Call) -> bool {
    let accepted = call.headers().get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut accepted = accepted.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    accepted.any(|kind| kind.starts_with(b"text/event-stream"))
}

/// Starts a oneway call and answers as soon as it runs (YARPC's oneway over HTTP: 200 and an empty
/// body). What is wrong before the handler first waits is still told to the caller.
pub(crate) async fn accept_oneway(
    settings: &Settings,
    entry: &Entry,
    request: RpcRequest,
) -> Result<RpcResponse, Status> {
    let place = std::sync::Arc::clone(&settings.oneway).try_acquire_owned().map_err(|_full| {
        Status::resource_exhausted("too many oneway calls are running").with_hint("slow down")
    })?;
    let deadline = request.call.deadline();
    let mut running = entry.procedure.run(request);
    let accepted = || RpcResponse {
        metadata: HeaderMap::new(),
        trailers: HeaderMap::new(),
        compressed: None,
        control: None,
        output: Output::One(Encoded::new(b"")),
    };
    match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut running).poll(cx))).await {
        Poll::Ready(Err(status)) => return Err(status),
        Poll::Ready(Ok(_)) => return Ok(accepted()),
        Poll::Pending => {}
    }
    let guard = settings.drain.as_ref().map(omnirelay_runtime::Drain::guard);
    let name = entry.name.clone();
    omnirelay_runtime::spawn("oneway-call", async move {
        if let Err(status) = within(deadline, &name, running).await {
            warn!(procedure = name, %status, "oneway call failed");
        }
        drop((place, guard));
    });
    Ok(accepted())
}
