//! What a handler is told of a call beside its message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use relay_core::{Encoding, RefusedDeadline, RpcStyle, headers};
use relay_transport::{ConnInfo, PeerIdentity, spare};
use tokio::time::Instant;

use crate::compression::names_gzip;
use crate::metadata;

/// A call: the head of its request, read when asked.
#[derive(Debug)]
pub struct Call {
    head: Parts,
    served: Arc<str>,
    facts: Facts,
    deadline: Option<Instant>,
    compressed: bool,
}

/// What the protocols' own headers say of a call, beside whom it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    style: RpcStyle,
    encoding: Encoding,
    timeout: Option<Duration>,
    /// It names its service.
    pub(crate) names_service: bool,
    /// It says how its messages are compressed.
    pub(crate) names_compression: bool,
    /// Its caller understands gzip.
    pub(crate) accepts_gzip: bool,
}

/// What a request says of its call.
pub(crate) struct Told<'a> {
    pub(crate) facts: Facts,
    pub(crate) service: Option<&'a str>,
    /// As [`Call::procedure`].
    pub(crate) procedure: &'a str,
    /// The caller names a deadline that no call is begun with.
    pub(crate) refused: Option<RefusedDeadline<'a>>,
}

impl<'a> Told<'a> {
    /// Reads the head of a request in one pass: each look-up by name hashes the name first.
    pub(crate) fn of(head: &'a Parts) -> Self {
        let (mut content_type, mut service, mut procedure, mut encoding) = (None, None, None, None);
        let (mut ttl, mut grpc_timeout, mut grpc_encoding, mut accepts_gzip) = (None, None, None, false);
        for (name, value) in &head.headers {
            // Of a name that is given many times the first value counts.
            let place = match name.as_str() {
                "content-type" => &mut content_type,
                "rpc-service" => &mut service,
                "rpc-procedure" => &mut procedure,
                "rpc-encoding" => &mut encoding,
                "context-ttl-ms" => &mut ttl,
                "grpc-timeout" => &mut grpc_timeout,
                "grpc-encoding" => &mut grpc_encoding,
                "grpc-accept-encoding" => {
                    accepts_gzip |= names_gzip(value);
                    continue;
                }
                _ => continue,
            };
            place.get_or_insert(value);
        }
        let content_type = text(content_type).unwrap_or_default();
        let style = match procedure {
            _ if is_grpc(content_type) => RpcStyle::Grpc,
            Some(_) => RpcStyle::Yarpc,
            None => RpcStyle::Http,
        };
        let (timeout, refused) = match relay_core::timeout(style, ttl, grpc_timeout) {
            Ok(timeout) => (timeout, None),
            Err(refused) => (None, Some(refused)),
        };
        let facts = Facts {
            style,
            encoding: encoding_of(style, text(encoding), content_type),
            timeout,
            names_service: service.is_some(),
            names_compression: grpc_encoding.is_some(),
            accepts_gzip,
        };
        let procedure = match style {
            RpcStyle::Grpc | RpcStyle::Http => path(head),
            RpcStyle::Yarpc => text(procedure).unwrap_or_default(),
        };
        Self { facts, service: text(service), procedure, refused }
    }

    pub(crate) fn style(&self) -> RpcStyle {
        self.facts.style
    }
}

impl Call {
    /// A call whose request says `facts`; `served` is the service that answers it.
    pub(crate) fn new(
        head: Parts,
        facts: Facts,
        served: Arc<str>,
        default_timeout: Option<Duration>,
    ) -> Self {
        let deadline = facts.timeout.or(default_timeout).map(|timeout| Instant::now() + timeout);
        Self { head, served, facts, deadline, compressed: false }
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
    }

    pub(crate) fn mark_compressed(&mut self, compressed: bool) {
        self.compressed = compressed;
    }

    /// The service that was called: `Rpc-Service`, or the dispatcher's own name.
    #[must_use]
    pub fn service(&self) -> &str {
        text(self.head.headers.get(headers::RPC_SERVICE)).unwrap_or(&self.served)
    }

    /// The procedure as it was called: `Rpc-Procedure`, or the path without its first slash.
    #[must_use]
    pub fn procedure(&self) -> &str {
        match self.facts.style {
            RpcStyle::Grpc | RpcStyle::Http => path(&self.head),
            RpcStyle::Yarpc => text(self.head.headers.get(headers::RPC_PROCEDURE)).unwrap_or_default(),
        }
    }

    /// Who calls, by its own word.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        text(self.head.headers.get(headers::RPC_CALLER))
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
        text(self.head.headers.get(headers::RPC_SHARD_KEY))
    }

    /// How the call is written on the wire.
    #[must_use]
    pub fn style(&self) -> RpcStyle {
        self.facts.style
    }

    /// How its messages are encoded.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.facts.encoding
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
        match self.facts.style {
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
        metadata::custom(self.facts.style, &self.head.headers)
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

impl Drop for Call {
    fn drop(&mut self) {
        // Whoever answers it needs one.
        spare::give(std::mem::take(&mut self.head.headers));
    }
}

/// `application/grpc`, with a suffix or parameters; `application/grpc-web` is another protocol.
fn is_grpc(content_type: &str) -> bool {
    let rest = content_type.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok()
}

/// The path of a request without its first slash.
fn path(head: &Parts) -> &str {
    let path = head.uri.path();
    path.strip_prefix('/').unwrap_or(path)
}

fn encoding_of(style: RpcStyle, named: Option<&str>, content_type: &str) -> Encoding {
    if let Some(named) = named {
        // YARPC over gRPC names an encoding of its own beside the content type.
        return Encoding::from_yarpc(named);
    }
    if style == RpcStyle::Grpc {
        let json = content_type.starts_with("application/grpc+json");
        return if json { Encoding::Json } else { Encoding::Protobuf };
    }
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => Encoding::Json,
        "application/x-protobuf" | "application/protobuf" => Encoding::Protobuf,
        _ => Encoding::Raw,
    }
}
