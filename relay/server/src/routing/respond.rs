//! Answers that the relay gives itself.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use relay_config::RespondConfig;
use relay_core::{Code, Encoding, RpcMeta, RpcStyle, Status, headers};
use relay_transport::{Body, body};

/// An answer that is always the same.
pub(super) struct Respond {
    body: Bytes,
    failure: Option<Status>,
}

impl Respond {
    pub(super) fn new(config: &RespondConfig) -> Self {
        let failed = config.code != Code::Ok;
        let failure = failed.then(|| Status::new(config.code, config.message.clone()));
        Self { body: Bytes::copy_from_slice(config.body.as_bytes()), failure }
    }

    /// The answer in the style and encoding of the call.
    ///
    /// # Errors
    /// The failure, where that is the answer.
    pub(super) fn answer(&self, meta: &RpcMeta<'_>) -> Result<Response<Body>, Status> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let (content_type, body) = match (meta.style, meta.encoding) {
            (RpcStyle::Grpc, Encoding::Json) => ("application/grpc+json", self.message()),
            (RpcStyle::Grpc, _) => ("application/grpc", self.message()),
            (_, Encoding::Json) => ("application/json", body::full(self.body.clone())),
            (_, Encoding::Protobuf) => ("application/x-protobuf", body::full(self.body.clone())),
            (_, Encoding::Raw) => ("application/octet-stream", body::full(self.body.clone())),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if meta.style == RpcStyle::Yarpc {
            response.headers_mut().insert(headers::RPC_STATUS, HeaderValue::from_static("success"));
        }
        Ok(response)
    }

    /// One message of gRPC, and the outcome after it.
    fn message(&self) -> Body {
        let mut message = BytesMut::with_capacity(5 + self.body.len());
        message.put_u8(0);
        message.put_u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        message.extend_from_slice(&self.body);
        let trailers = HeaderMap::from_iter([(headers::GRPC_STATUS, HeaderValue::from_static("0"))]);
        body::with_trailers(message.freeze(), trailers)
    }
}
