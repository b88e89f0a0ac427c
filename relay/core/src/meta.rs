//! What a request says about itself, whichever way it says it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header::CONTENT_TYPE, request::Parts};

use crate::deadline::{self, RefusedDeadline};
use crate::headers as name;
use crate::protocol::Encoding;

/// How a call is written on the wire, and so how it has to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcStyle {
    /// YARPC over HTTP: headers and one body each way.
    Yarpc,
    /// gRPC: `/service/method`, length-prefixed messages, trailers.
    Grpc,
    /// Neither: plain HTTP.
    Http,
}

impl RpcStyle {
    /// How a request is written: less to read than all of [`RpcMeta`], for those who need no more.
    #[must_use]
    pub fn of(request: &Parts) -> Self {
        Self::read(&request.headers, text(&request.headers, &CONTENT_TYPE).unwrap_or_default())
    }

    fn read(headers: &HeaderMap, content_type: &str) -> Self {
        if content_type.starts_with("application/grpc") {
            Self::Grpc
        } else if headers.contains_key(name::RPC_PROCEDURE) {
            Self::Yarpc
        } else {
            Self::Http
        }
    }

    /// The procedure of a request that is written so: `Rpc-Procedure`, or the path of a gRPC call
    /// without its first slash.
    #[must_use]
    pub fn procedure(self, request: &Parts) -> Option<&str> {
        match self {
            Self::Grpc => request.uri.path().strip_prefix('/'),
            Self::Yarpc | Self::Http => text(&request.headers, &name::RPC_PROCEDURE),
        }
    }

    /// How the body of a request that is written so is encoded.
    #[must_use]
    pub fn encoding(self, request: &Parts) -> Encoding {
        let content_type = text(&request.headers, &CONTENT_TYPE).unwrap_or_default();
        encoding(self, &request.headers, content_type)
    }
}

/// The routing facts of a request, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcMeta<'a> {
    /// How the call is written.
    pub style: RpcStyle,
    /// `Rpc-Service`, where given.
    pub service: Option<&'a str>,
    /// The procedure: `Rpc-Procedure`, or the path of a gRPC call without its first slash.
    pub procedure: Option<&'a str>,
    /// Who calls.
    pub caller: Option<&'a str>,
    /// Which shard is meant.
    pub shard_key: Option<&'a str>,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// How long the caller still waits, if it says so and there is any.
    pub timeout: Result<Option<Duration>, RefusedDeadline<'a>>,
}

impl<'a> RpcMeta<'a> {
    /// Reads the routing facts of a request.
    #[must_use]
    pub fn of(request: &'a Parts) -> Self {
        let headers = &request.headers;
        let content_type = text(headers, &CONTENT_TYPE).unwrap_or_default();
        let style = RpcStyle::read(headers, content_type);
        Self {
            style,
            service: text(headers, &name::RPC_SERVICE),
            procedure: style.procedure(request),
            caller: text(headers, &name::RPC_CALLER),
            shard_key: text(headers, &name::RPC_SHARD_KEY),
            encoding: encoding(style, headers, content_type),
            timeout: deadline::timeout(
                style,
                headers.get(name::CONTEXT_TTL_MS),
                headers.get(name::GRPC_TIMEOUT),
            ),
        }
    }

    /// The gRPC service of the call: `pkg.Service` of `pkg.Service/Method`.
    #[must_use]
    pub fn grpc_service(&self) -> Option<&'a str> {
        match self.style {
            RpcStyle::Grpc => self.procedure?.split_once('/').map(|(service, _)| service),
            RpcStyle::Yarpc | RpcStyle::Http => None,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn encoding(style: RpcStyle, headers: &HeaderMap, content_type: &str) -> Encoding {
    if let Some(named) = text(headers, &name::RPC_ENCODING) {
        return Encoding::from_yarpc(named);
    }
    match style {
        RpcStyle::Grpc if content_type == "application/grpc+json" => Encoding::Json,
        RpcStyle::Grpc => Encoding::Protobuf,
        RpcStyle::Yarpc | RpcStyle::Http => match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json" => Encoding::Json,
            "application/x-protobuf" | "application/protobuf" => Encoding::Protobuf,
            _ => Encoding::Raw,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    fn parts(path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn yarpc_over_http_is_read_from_headers() {
        let parts = parts(
            "/yarpc/v1",
            &[
                ("Rpc-Service", "greeter"),
                ("Rpc-Procedure", "Greeter::Greet"),
                ("Rpc-Caller", "cli"),
                ("Rpc-Encoding", "json"),
                ("Rpc-Shard-Key", "k1"),
                ("Context-TTL-MS", "1500"),
            ],
        );
        let meta = RpcMeta::of(&parts);
        assert_eq!(meta.style, RpcStyle::Yarpc);
        assert_eq!((meta.service, meta.procedure), (Some("greeter"), Some("Greeter::Greet")));
        assert_eq!((meta.caller, meta.shard_key), (Some("cli"), Some("k1")));
        assert_eq!(meta.encoding, Encoding::Json);
        assert_eq!(meta.timeout, Ok(Some(Duration::from_millis(1500))));
        assert_eq!(meta.grpc_service(), None);
        alone_as_together(&parts);
    }

    fn alone_as_together(parts: &Parts) {
        let (meta, style) = (RpcMeta::of(parts), RpcStyle::of(parts));
        let alone = (style, style.procedure(parts), style.encoding(parts));
        assert_eq!(alone, (meta.style, meta.procedure, meta.encoding));
    }

    #[test]
    fn grpc_is_read_from_path_and_metadata() {
        let parts = parts(
            "/samples.v1.Greeter/Greet",
            &[("content-type", "application/grpc+proto"), ("grpc-timeout", "2S")],
        );
        let meta = RpcMeta::of(&parts);
        assert_eq!(meta.style, RpcStyle::Grpc);
        assert_eq!(meta.grpc_service(), Some("samples.v1.Greeter"));
        assert_eq!(meta.encoding, Encoding::Protobuf);
        assert_eq!(meta.timeout, Ok(Some(Duration::from_secs(2))));
        alone_as_together(&parts);
    }
}
