//! A call as YARPC over HTTP.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use omnirelay_runtime::Result;
use relay_core::{Code, Encoding, Status, headers};
use relay_transport::{Body, body};

use super::{Call, contract, put};
use crate::remote;

pub(super) fn request(call: &Call) -> Result<Request<Body>> {
    let args = &call.args;
    let mut request = Request::new(body::full(call.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(headers::DEFAULT_RPC_PATH);
    let map = request.headers_mut();
    map.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(match call.encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf | Encoding::Raw => "application/x-protobuf",
        }),
    );
    map.insert(headers::RPC_ENCODING, HeaderValue::from_static(call.encoding.yarpc()));
    map.insert(
        headers::CONTEXT_TTL_MS,
        HeaderValue::from(u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX)),
    );
    put(map, headers::RPC_CALLER.as_str(), &args.caller, "`--caller`")?;
    put(map, headers::RPC_SERVICE.as_str(), &args.service, "the service's name")?;
    put(map, headers::RPC_PROCEDURE.as_str(), &procedure(&args.procedure), "the procedure's name")?;
    if let Some(key) = &args.shard_key {
        put(map, headers::RPC_SHARD_KEY.as_str(), key, "`--shard-key`")?;
    }
    for (name, value) in &args.headers {
        put(map, &format!("rpc-header-{name}"), value, &format!("`--header {name}`"))?;
    }
    Ok(request)
}

/// YARPC's name of a procedure: `pkg.Service/Method` becomes `Service::Method`.
pub(super) fn procedure(written: &str) -> String {
    if written.contains("::") {
        return written.to_owned();
    }
    match contract::split(written) {
        Some((service, method)) => {
            format!("{}::{method}", service.rsplit('.').next().unwrap_or(service))
        }
        None => written.to_owned(),
    }
}

/// The body of the answer, or why there is none.
pub(super) fn outcome(head: &http::response::Parts, bytes: Bytes) -> Result<Bytes, Status> {
    let text = |name: &http::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let refused = text(&headers::RPC_STATUS) == Some("error") || text(&headers::RPC_ERROR_CODE).is_some();
    if head.status.is_success() && !refused {
        return Ok(bytes);
    }
    let Some(code) = text(&headers::RPC_ERROR_CODE) else {
        let mut status = remote::http_status(head.status, &bytes);
        if status.code == Code::Ok {
            status.code = Code::Unknown;
        }
        return Err(status);
    };
    let code = code.parse().unwrap_or(Code::Unknown);
    let message = match text(&headers::RPC_ERROR_MESSAGE) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&bytes).trim().to_owned(),
    };
    let status = Status::new(code, message);
    Err(match text(&headers::RPC_ERROR_NAME) {
        Some(name) => status.with_name(name),
        None => status,
    })
}
