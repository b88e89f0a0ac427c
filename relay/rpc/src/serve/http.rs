//! YARPC over HTTP, and plain HTTP: one body each way, the outcome in headers.

use std::task::Poll;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response};
use relay_core::{Encoding, RpcStyle, Status, headers};
use relay_transport::{Body, body, respond};
use tracing::warn;

use super::{sse, within};
use crate::call::Call;
use crate::compression::too_large;
use crate::dispatcher::{Entry, Settings};
use crate::frame::Encoded;
use crate::metadata;
use crate::procedure::{Input, Output, RpcRequest, RpcResponse, Shape};

pub(crate) async fn answer(settings: &Settings, entry: &Entry, call: Call, body: Body) -> Response<Body> {
    let style = call.style();
    let (encoding, deadline) = (call.encoding(), call.deadline());
    // Before the call is gone: the answer names the service as it was called.
    let service = call.headers().get(headers::RPC_SERVICE).cloned();
    let work = async {
        refuse(entry.shape, &call)?;
        let message = body::collect_limited(body, settings.max_message).await?;
        let request = RpcRequest { call, input: Input::One(message) };
        if entry.shape == Shape::Oneway {
            return accept_oneway(settings, entry, request).await;
        }
        entry.procedure.run(request).await
    };
    let response = match within(deadline, &entry.name, work).await {
        Ok(response) => response,
        Err(status) => return respond::status(style, &status),
    };
    let RpcResponse { metadata, trailers, control, output, .. } = response;
    let mut custom = HeaderMap::new();
    metadata::put(style, metadata, &mut custom);
    metadata::put(style, trailers, &mut custom);
    let mut response = match output {
        Output::One(message) if message.len() > settings.max_message => {
            return respond::status(style, &too_large(settings.max_message));
        }
        Output::One(message) => {
            if let Some(control) = control {
                metadata::put(style, control.take_trailers(), &mut custom);
            }
            let mut response = Response::new(body::full(message.into_message()));
            let content_type = match encoding {
                Encoding::Json => "application/json",
                Encoding::Protobuf => "application/x-protobuf",
                Encoding::Raw => "application/octet-stream",
            };
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        }
        Output::Stream(stream) => {
            match sse::respond(stream, deadline, &entry.name, settings.max_message).await {
                Ok(response) => response,
                Err(status) => return respond::status(style, &status),
            }
        }
    };
    let into = response.headers_mut();
    into.extend(custom);
    if style == RpcStyle::Yarpc {
        into.insert(headers::RPC_STATUS, HeaderValue::from_static("success"));
        into.insert(headers::RPC_ENCODING, HeaderValue::from_static(encoding.yarpc()));
        if let Some(service) = service {
            into.insert(headers::RPC_SERVICE, service);
        }
    }
    response
}

/// What cannot be said in one body each way.
fn refuse(shape: Shape, call: &Call) -> Result<(), Status> {
    if call.style() == RpcStyle::Http && call.head().method != Method::POST {
        return Err(Status::invalid_argument("a call is a POST").with_hint("send its message as the body"));
    }
    let accepted = call.headers().get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut accepted = accepted.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let wants_events = accepted.any(|kind| kind.starts_with(b"text/event-stream"));
    match shape {
        Shape::Unary | Shape::Oneway => Ok(()),
        Shape::ServerStream if wants_events && call.encoding() == Encoding::Json => Ok(()),
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
    match std::future::poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
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
