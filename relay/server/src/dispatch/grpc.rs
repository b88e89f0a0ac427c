//! gRPC: a length before each message, the outcome in trailers (gRPC's `PROTOCOL-HTTP2.md`).

use std::convert::Infallible;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use relay_core::{Code, Encoding, Status};
use relay_transport::{Body, body, respond};

use super::procedure::Procedure;
use super::{Call, MAX_MESSAGE};

/// A compression flag and four bytes of length.
const PREFIX: usize = 5;

pub(super) async fn answer(
    procedure: &Procedure,
    encoding: Encoding,
    call: Call,
    request: Body,
) -> Result<Response<Body>, Status> {
    let framed = body::collect_limited(request, MAX_MESSAGE + PREFIX).await?;
    let message = unframe(framed)?;
    let answer = procedure.run(encoding, call, message).await?;
    let mut trailers = HeaderMap::new();
    respond::put_grpc_status(&mut trailers, &Status::new(Code::Ok, ""));
    let frames = [Ok::<_, Infallible>(Frame::data(frame(&answer))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(body::boxed(StreamBody::new(futures_util::stream::iter(frames))));
    let content_type = match encoding {
        Encoding::Json => "application/grpc+json",
        Encoding::Protobuf | Encoding::Raw => "application/grpc",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// The one message of a unary call.
pub(super) fn unframe(mut framed: Bytes) -> Result<Bytes, Status> {
    let Some((prefix, rest)) = framed.split_first_chunk::<PREFIX>() else {
        return Err(Status::internal("the call carries no whole message"));
    };
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return Err(Status::unimplemented("compressed messages are not taken")
            .with_hint("send `grpc-encoding: identity`"));
    }
    if usize::try_from(u32::from_be_bytes(length)) != Ok(rest.len()) {
        return Err(Status::internal("the message's length is not the one it was announced with"));
    }
    Ok(framed.split_off(PREFIX))
}

/// A message with its length.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    // Messages stay below MAX_MESSAGE, far from 32 bits.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}
