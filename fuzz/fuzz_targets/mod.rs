//! The targets, one a file.
#![allow(clippy::panic, reason = "a target says by panicking what is wrong")]

pub(crate) mod config_layers;
pub(crate) mod deadlines;
pub(crate) mod endpoint;
pub(crate) mod grpc_frames;
pub(crate) mod grpc_status;
pub(crate) mod http3_fields;
pub(crate) mod jwks;
pub(crate) mod jwt;
pub(crate) mod policy;
pub(crate) mod proxy_protocol;
pub(crate) mod relay_config;
pub(crate) mod rpc_meta;
pub(crate) mod transcoding;

use std::sync::LazyLock;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use relay_rpc::DispatchService;
use relay_transport::Body;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.unwrap_or_else(|error| panic!("no runtime: {error}"))
});

/// Runs to its end what waits for nothing from outside.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A dispatcher's whole answer: head, body, trailers.
fn ask(service: DispatchService, request: Request<Body>) -> (Parts, Bytes, HeaderMap) {
    block_on(async {
        let (head, body) = match service.oneshot(request).await {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        let answer = body.collect().await.unwrap_or_else(|error| panic!("the answer broke off: {error}"));
        let trailers = answer.trailers().cloned().unwrap_or_default();
        (head, answer.to_bytes(), trailers)
    })
}

/// Lines of `name: value` as headers; what is no header is passed over, as HTTP would refuse it.
fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}
