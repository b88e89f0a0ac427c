//! YARPC over HTTP: one body each way, the outcome in headers.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use relay_core::{Encoding, Status, headers};
use relay_transport::{Body, body};

use super::procedure::Procedure;
use super::{Call, MAX_MESSAGE};

pub(super) async fn answer(
    procedure: &Procedure,
    encoding: Encoding,
    call: Call,
    request: Body,
) -> Result<Response<Body>, Status> {
    let message = body::collect_limited(request, MAX_MESSAGE).await?;
    let service = HeaderValue::try_from(&call.service).ok();
    let answer = procedure.run(encoding, call, message).await?;
    let mut response = Response::new(body::full(answer));
    let content_type = match encoding {
        Encoding::Json => "application/json",
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Raw => "application/octet-stream",
    };
    let into = response.headers_mut();
    into.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    into.insert(headers::RPC_STATUS, HeaderValue::from_static("success"));
    into.insert(headers::RPC_ENCODING, HeaderValue::from_static(encoding.yarpc()));
    if let Some(service) = service {
        into.insert(headers::RPC_SERVICE, service);
    }
    Ok(response)
}
