//! Calls from outside with our own client, over exactly one protocol.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt as _;
use prost::Message;
use relay_client::{Channel, ChannelConfig};
use relay_core::{Negotiated, Protocol, headers};
use relay_transport::body;
use relay_transport::tls::ClientTlsConfig;

use crate::process::block_on;

/// How long an answer may take; a patience for loaded machines.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one process over one protocol.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    protocol: Protocol,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// How it came.
    pub protocol: Protocol,
    /// Its headers.
    pub headers: HeaderMap,
    /// What follows the body.
    pub trailers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    pub(crate) fn new(endpoint: &str, tls: ClientTlsConfig, protocol: Protocol) -> Self {
        let config = ChannelConfig { protocols: vec![protocol], ..ChannelConfig::new(endpoint, tls) };
        let channel = Channel::new(&config).unwrap_or_else(|error| panic!("{}", error.report(false)));
        Self { channel, protocol }
    }

    /// The channel itself, for SDKs that ride on it.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Sends one request.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, request: Request<body::Body>) -> Result<Reply, String> {
        let exchange = async {
            let response = self.channel.send(request).await.map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let collected = body.collect().await.map_err(|error| format!("the answer broke off: {error}"))?;
            let trailers = collected.trailers().cloned().unwrap_or_default();
            let protocol =
                parts.extensions.get::<Negotiated>().ok_or("the channel tells no protocol")?.protocol;
            let (status, body) = (parts.status.as_u16(), collected.to_bytes());
            Ok(Reply { status, protocol, headers: parts.headers, trailers, body })
        };
        let outcome = tokio::time::timeout(PATIENCE, exchange).await;
        outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    fn insist(&self, request: Request<body::Body>) -> Reply {
        let line = format!("{} {}", request.method(), request.uri());
        let reply = block_on(self.send(request));
        let reply = reply.unwrap_or_else(|error| panic!("{line} at {}: {error}", self.channel.endpoint()));
        assert_eq!(reply.protocol, self.protocol, "{line} came over another protocol");
        reply
    }

    /// Reads a path.
    ///
    /// # Panics
    /// Where there is no answer, or it came over another protocol.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.insist(Request::get(path).body(body::empty()).expect("a path is a request"))
    }

    /// Reads a path while nobody may be there yet.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn try_get(&self, path: &str) -> Result<Reply, String> {
        block_on(self.send(Request::get(path).body(body::empty()).expect("a path is a request")))
    }

    /// The request of a call in YARPC over HTTP: `encoding` is `json` or `proto`.
    ///
    /// # Panics
    /// Where a name is none of HTTP.
    #[must_use]
    pub fn yarpc(service: &str, procedure: &str, encoding: &str, message: Bytes) -> Request<body::Body> {
        let kind = if encoding == "json" { "application/json" } else { "application/x-protobuf" };
        let ttl = PATIENCE.as_millis().to_string();
        Request::post(headers::DEFAULT_RPC_PATH)
            .header(CONTENT_TYPE, kind)
            .header(headers::RPC_CALLER, "smoke")
            .header(headers::RPC_SERVICE, service)
            .header(headers::RPC_PROCEDURE, procedure)
            .header(headers::RPC_ENCODING, encoding)
            .header(headers::CONTEXT_TTL_MS, ttl)
            .body(body::full(message))
            .expect("names are headers")
    }

    /// Makes a YARPC call.
    ///
    /// # Panics
    /// Where there is no answer, or it came over another protocol.
    #[must_use]
    pub fn call(&self, service: &str, procedure: &str, encoding: &str, message: impl Into<Bytes>) -> Reply {
        self.insist(Self::yarpc(service, procedure, encoding, message.into()))
    }

    /// Makes a unary gRPC call to `/SERVICE/METHOD`.
    ///
    /// # Panics
    /// Where there is no answer, it came over another protocol or is no message.
    pub fn grpc<R: Message + Default>(&self, path: &str, message: &impl Message) -> R {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.encoded_len()).expect("a short message"));
        message.encode(&mut framed).expect("a buffer grows");
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/grpc+proto")
            .header(http::header::TE, "trailers")
            .header(headers::RPC_CALLER, "smoke")
            .body(body::full(framed.freeze()))
            .expect("a path is a request");
        let reply = self.insist(request);
        let status = reply.trailers.get(headers::GRPC_STATUS).or(reply.headers.get(headers::GRPC_STATUS));
        assert_eq!(status, Some(&HeaderValue::from_static("0")), "{path} did not succeed: {reply:?}");
        let frame =
            reply.body.get(5..).unwrap_or_else(|| panic!("{path} answered without a message: {reply:?}"));
        R::decode(frame).unwrap_or_else(|error| panic!("{path} answered something else: {error}"))
    }
}

impl Reply {
    /// Insists on a status of HTTP.
    ///
    /// # Panics
    /// With the whole answer, where it is another one.
    #[must_use]
    pub fn has(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "headers {:?}\nbody {text}", self.headers);
        self
    }

    /// A header as text; empty where it is not there.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is something else.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}
