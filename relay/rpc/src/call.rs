//! What a handler is told of a call beside its message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use relay_core::{Encoding, RpcStyle, headers, parse_grpc_timeout, parse_ttl_ms};
use relay_transport::{ConnInfo, PeerIdentity};
use tokio::time::Instant;

use crate::metadata;

/// A call: the head of its request, read when asked.
#[derive(Debug)]
pub struct Call {
    head: Parts,
    served: Arc<str>,
    style: RpcStyle,
    encoding: Encoding,
    deadline: Option<Instant>,
    compressed: bool,
}

impl Call {
    /// Reads how a request is written; `served` is the service that answers it.
    pub(crate) fn read(head: Parts, served: Arc<str>) -> Self {
        let content_type = text(&head.headers, &CONTENT_TYPE).unwrap_or_default();
        let style = if is_grpc(content_type) {
            RpcStyle::Grpc
        } else if head.headers.contains_key(headers::RPC_PROCEDURE) {
            RpcStyle::Yarpc
        } else {
            RpcStyle::Http
        };
        let encoding = encoding(style, &head.headers, content_type);
        Self { head, served, style, encoding, deadline: None, compressed: false }
    }

    pub(crate) fn start(&mut self, default_timeout: Option<Duration>) {
        let told = match self.style {
            RpcStyle::Grpc => text(&self.head.headers, &headers::GRPC_TIMEOUT).and_then(parse_grpc_timeout),
            RpcStyle::Yarpc | RpcStyle::Http => {
                text(&self.head.headers, &headers::CONTEXT_TTL_MS).and_then(parse_ttl_ms)
            }
        };
        self.deadline = told.or(default_timeout).map(|timeout| Instant::now() + timeout);
    }

    pub(crate) fn mark_compressed(&mut self, compressed: bool) {
        self.compressed = compressed;
    }

    /// The service that was called: `Rpc-Service`, or the dispatcher's own name.
    #[must_use]
    pub fn service(&self) -> &str {
        text(&self.head.headers, &headers::RPC_SERVICE).unwrap_or(&self.served)
    }

    /// The procedure as it was called: `Rpc-Procedure`, or the path without its first slash.
    #[must_use]
    pub fn procedure(&self) -> &str {
        let path = self.head.uri.path();
        match self.style {
            RpcStyle::Grpc | RpcStyle::Http => path.strip_prefix('/').unwrap_or(path),
            RpcStyle::Yarpc => text(&self.head.headers, &headers::RPC_PROCEDURE).unwrap_or_default(),
        }
    }

    /// Who calls, by its own word.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        text(&self.head.headers, &headers::RPC_CALLER)
    }

    /// Who calls, by its certificate.
    #[must_use]
    pub fn identity(&self) -> Option<&PeerIdentity> {
        self.connection()?.identity.as_ref()
    }

    /// The connection that brought the call; none in-process.
    #[must_use]
    pub fn connection(&self) -> Option<&ConnInfo> {
        self.head.extensions.get()
    }

    /// Which shard is meant.
    #[must_use]
    pub fn shard_key(&self) -> Option<&str> {
        text(&self.head.headers, &headers::RPC_SHARD_KEY)
    }

    /// How the call is written on the wire.
    #[must_use]
    pub fn style(&self) -> RpcStyle {
        self.style
    }

    /// How its messages are encoded.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// When the caller stops waiting; the handler and its stream are dropped then. `None` where a
    /// streaming call names no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the caller still waits; hand it on with calls that this one makes.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the one message of the request came compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The application's own metadata by its plain lower-case name: gRPC metadata, or the header
    /// `Rpc-Header-NAME` of YARPC over HTTP.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&HeaderValue> {
        match self.style {
            RpcStyle::Yarpc => self.head.headers.get(format!("{}{name}", headers::RPC_HEADER_PREFIX)),
            RpcStyle::Grpc | RpcStyle::Http => self.head.headers.get(name),
        }
    }

    /// Binary metadata, whose name ends in `-bin`. `None` where it is missing or no base64.
    #[must_use]
    pub fn metadata_bin(&self, name: &str) -> Option<Bytes> {
        metadata::decode_bin(self.metadata(name)?)
    }

    /// The application's own metadata: plain names and values, without what the protocols use.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        metadata::custom(self.style, &self.head.headers)
    }

    /// The request's head as it came.
    #[must_use]
    pub fn head(&self) -> &Parts {
        &self.head
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }
}

/// `application/grpc`, with a suffix or parameters; `application/grpc-web` is another protocol.
fn is_grpc(content_type: &str) -> bool {
    let rest = content_type.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn encoding(style: RpcStyle, headers: &HeaderMap, content_type: &str) -> Encoding {
    if style == RpcStyle::Grpc {
        // YARPC over gRPC names an encoding of its own beside the content type.
        return match text(headers, &headers::RPC_ENCODING) {
            Some(named) => Encoding::from_yarpc(named),
            None if content_type.starts_with("application/grpc+json") => Encoding::Json,
            None => Encoding::Protobuf,
        };
    }
    if let Some(named) = text(headers, &headers::RPC_ENCODING) {
        return Encoding::from_yarpc(named);
    }
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => Encoding::Json,
        "application/x-protobuf" | "application/protobuf" => Encoding::Protobuf,
        _ => Encoding::Raw,
    }
}
