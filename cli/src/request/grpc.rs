//! A call as gRPC.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::{Encoding, Status, format_grpc_timeout, headers};
use relay_transport::{Body, body, respond};

use super::{Call, put};
use crate::remote;

/// A flag for compression and the length, before every message.
const PREFIX_BYTES: usize = 5;

pub(super) fn request(call: &Call) -> Result<Request<Body>> {
    let args = &call.args;
    let path = call.contract.as_ref().map(super::Contract::grpc_path).unwrap_or_default();
    let uri: Uri = path.parse().map_err(|error: http::uri::InvalidUri| {
        OperatorError::new(ErrorKind::Usage, format!("`{path}` is no path")).caused_by(&error)
    })?;
    let mut request = Request::new(body::full(frame(&call.body)?));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let map = request.headers_mut();
    let content_type = match call.encoding {
        Encoding::Json => "application/grpc+json",
        Encoding::Protobuf | Encoding::Raw => "application/grpc",
    };
    map.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    map.insert(TE, HeaderValue::from_static("trailers"));
    map.insert(headers::RPC_ENCODING, HeaderValue::from_static(call.encoding.yarpc()));
    put(map, headers::GRPC_TIMEOUT.as_str(), &format_grpc_timeout(args.timeout), "`--timeout`")?;
    put(map, headers::RPC_CALLER.as_str(), &args.caller, "`--caller`")?;
    put(map, headers::RPC_SERVICE.as_str(), &args.service, "the service's name")?;
    if let Some(key) = &args.shard_key {
        put(map, headers::RPC_SHARD_KEY.as_str(), key, "`--shard-key`")?;
    }
    for (name, value) in &args.headers {
        put(map, name, value, &format!("`--header {name}`"))?;
    }
    Ok(request)
}

fn frame(message: &Bytes) -> Result<Bytes> {
    let length = u32::try_from(message.len())
        .map_err(|_| OperatorError::new(ErrorKind::Usage, "the body is above 4 GiB"))?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.extend_from_slice(message);
    Ok(framed.freeze())
}

/// The message of the answer, or why there is none.
pub(super) fn outcome(
    head: &http::response::Parts,
    bytes: &Bytes,
    trailers: Option<HeaderMap>,
) -> Result<Bytes, Status> {
    let status = trailers
        .and_then(|trailers| respond::read_grpc_status(&trailers))
        .or_else(|| respond::read_grpc_status(&head.headers));
    match status {
        Some(status) if status.code == relay_core::Code::Ok => message(bytes),
        Some(status) => Err(status),
        None if !head.status.is_success() => Err(remote::http_status(head.status, bytes)),
        None => Err(Status::internal("the answer ends without a gRPC status")),
    }
}

fn message(bytes: &Bytes) -> Result<Bytes, Status> {
    let broken = |why: &str| Err(Status::internal(format!("the answer is no gRPC message: {why}")));
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return broken("it is too short");
    };
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return broken("it is compressed, which was not asked for");
    }
    if u32::from_be_bytes(length) as usize != rest.len() {
        return broken("its length is not what it says");
    }
    Ok(bytes.slice(PREFIX_BYTES..))
}
