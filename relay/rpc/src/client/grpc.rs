//! Calls as gRPC.

use std::time::Duration;

use futures_util::Stream;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use prost::Message;
use relay_core::{Code, RpcStyle, Status, format_grpc_timeout, headers};
use relay_transport::{Body, body, respond};
use tokio::time::Instant;

use super::outgoing::{Cancel, Outgoing};
use super::{Ask, Carrier, Client, Streaming, carry, metadata_of};
use crate::codec::protobuf;
use crate::compression::{self, Compression};
use crate::frame::Frames;
use crate::messages::Messages;
use crate::reply::Reply;
use crate::serve::{Deadline, within};

/// A request of one message.
pub(super) fn one<S, Req: Message>(
    client: &Client<S>,
    path: &str,
    ask: Ask<Req>,
) -> Result<(Request<Body>, Option<Cancel>), Status> {
    let encoded = protobuf(&ask.message);
    let framed = if ask.compressed { encoded.gzipped() } else { encoded.framed() };
    Ok((request(client, path, ask, body::full(framed))?, None))
}

/// A request of a stream of messages.
pub(super) fn many<S, Req, St>(
    client: &Client<S>,
    path: &str,
    ask: Ask<St>,
) -> Result<(Request<Body>, Option<Cancel>), Status>
where
    Req: Message,
    St: Stream<Item = Req> + Send + 'static,
{
    let Ask { message, metadata, timeout, compressed, shard_key } = ask;
    let (outgoing, cancel) = Outgoing::new(message, compressed);
    let ask = Ask { message: (), metadata, timeout, compressed, shard_key };
    Ok((request(client, path, ask, body::boxed(outgoing))?, Some(cancel)))
}

fn request<S, T>(client: &Client<S>, path: &str, ask: Ask<T>, body: Body) -> Result<Request<Body>, Status> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        Uri::try_from(path).map_err(|error| Status::internal(format!("`{path}` is no path: {error}")))?;
    let into = request.headers_mut();
    into.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    into.insert(TE, HeaderValue::from_static("trailers"));
    into.insert(headers::GRPC_ACCEPT_ENCODING, compression::ACCEPTED);
    if ask.compressed {
        into.insert(headers::GRPC_ENCODING, compression::GZIP);
    }
    if let Some(caller) = &client.caller {
        into.insert(headers::RPC_CALLER, caller.clone());
    }
    if let Some(key) = ask.shard_key {
        into.insert(headers::RPC_SHARD_KEY, key);
    }
    if let Some(timeout) = ask.timeout.or(client.timeout)
        && let Ok(timeout) = HeaderValue::try_from(format_grpc_timeout(timeout))
    {
        into.insert(headers::GRPC_TIMEOUT, timeout);
    }
    metadata_of(RpcStyle::Grpc, ask.metadata, into);
    Ok(request)
}

/// Sends a call and gives its answer as it begins.
pub(super) async fn send<S, Res>(
    client: &Client<S>,
    request: Request<Body>,
    timeout: Option<Duration>,
    cancel: Option<Cancel>,
) -> Result<Streaming<Res>, Status>
where
    S: Carrier,
    Res: Message + Default + 'static,
{
    let name = request.uri().path().to_owned();
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let response = within(deadline, &name, carry(&client.service, request)).await?;
    let (head, body) = response.into_parts();
    check(&head)?;
    let compression = Compression::of(&head.headers)?;
    let frames = Frames::new(body, compression, client.max_message);
    let messages = Messages::new(frames, |bytes| {
        Res::decode(bytes).map_err(|error| Status::internal(format!("the answer cannot be decoded: {error}")))
    });
    Ok(Streaming::new(messages, head, Deadline::at(deadline), name, cancel))
}

/// Whether an answer is gRPC's, and has not failed before its first message.
fn check(head: &http::response::Parts) -> Result<(), Status> {
    match respond::read_grpc_status(&head.headers) {
        Some(status) if status.code != Code::Ok => return Err(status),
        Some(_ended_without_messages) => return Ok(()),
        None => {}
    }
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if head.status.as_u16() == 200 && content_type.starts_with(b"application/grpc") {
        return Ok(());
    }
    let what = String::from_utf8_lossy(content_type);
    let message = format!("the answer is no gRPC: HTTP {} with `{what}`", head.status.as_u16());
    let code = Code::from_http_status_of_grpc(head.status.as_u16());
    Err(Status::new(code, message).with_hint("check that a gRPC service is behind the address"))
}

/// The one message of an answer.
pub(super) async fn single<Res>(mut answer: Streaming<Res>) -> Result<Reply<Res>, Status> {
    let Some(message) = answer.message().await? else {
        return Err(Status::internal("the answer has no message"));
    };
    if answer.message().await?.is_some() {
        return Err(Status::internal("the answer has more than one message"));
    }
    let mut reply = Reply::new(message);
    reply.compressed = Some(answer.is_compressed());
    reply.trailers = answer.trailers().cloned().unwrap_or_default();
    reply.metadata = std::mem::take(answer.metadata_mut());
    Ok(reply)
}

/// The outcome that trailers say; an answer without one was cut short.
pub(super) fn outcome(trailers: Option<&HeaderMap>, headers: &HeaderMap) -> Result<(), Status> {
    let status = trailers.and_then(respond::read_grpc_status).or_else(|| respond::read_grpc_status(headers));
    match status {
        Some(status) if status.code == Code::Ok => Ok(()),
        Some(status) => Err(status),
        None => Err(Status::internal("the answer ends without a status")
            .with_hint("the server or something before it drops trailers or broke the answer off")),
    }
}
