//! The rows of the table: what a caller speaks to the proxy.

use bytes::Bytes;
use clap::ValueEnum;
use http::{HeaderValue, Method, Request, Uri, Version};
use serde::{Deserialize, Serialize};

/// Bytes of a request's and of an answer's body.
pub(super) const BODY: usize = 32;
/// What a gRPC message has before its bytes.
pub(super) const GRPC_PREFIX: usize = 5;
/// Where calls of gRPC go.
pub(super) const GRPC_PATH: &str = "/bench.Echo/Echo";
/// Where all others go.
pub(super) const PATH: &str = "/yarpc/v1";

/// What a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Row {
    /// HTTP/1.1: a call at a time on a connection.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC over HTTP/2: a unary call.
    Grpc,
    /// HTTP/3.
    Http3,
}

impl Row {
    /// All of them, in the table's order.
    pub(super) const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Grpc, Self::Http3];

    /// What it is called on the command line.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Http3 => "http3",
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Grpc => "gRPC",
            Self::Http3 => "HTTP/3",
        }
    }

    /// Its name in the TLS handshake.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 | Self::Grpc => b"h2",
            Self::Http3 => b"h3",
        }
    }

    /// Connections, and calls at once on each, of the load.
    pub(super) fn shape(self) -> (usize, usize) {
        match self {
            Self::Http1 => (64, 1),
            Self::Http2 | Self::Grpc | Self::Http3 => (8, 16),
        }
    }

    /// What is asked of the upstream itself, to know what the proxy adds. It speaks no HTTP/3.
    pub(super) fn direct(self) -> Self {
        match self {
            Self::Http3 => Self::Http2,
            other => other,
        }
    }

    /// The call that everybody makes, without its body.
    pub(super) fn request(self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        if self == Self::Grpc {
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
            headers.insert("te", HeaderValue::from_static("trailers"));
            *request.uri_mut() = Uri::from_static("https://localhost/bench.Echo/Echo");
            return request;
        }
        for (name, value) in [
            ("rpc-service", "echo"),
            ("rpc-procedure", "Echo::Echo"),
            ("rpc-encoding", "raw"),
            ("rpc-caller", "bench"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("content-length", HeaderValue::from(BODY));
        if self == Self::Http1 {
            headers.insert("host", HeaderValue::from_static("localhost"));
            *request.version_mut() = Version::HTTP_11;
            *request.uri_mut() = Uri::from_static(PATH);
        } else {
            *request.uri_mut() = Uri::from_static("https://localhost/yarpc/v1");
        }
        request
    }

    /// The body of a request and of an answer.
    pub(super) fn body(self) -> Bytes {
        match self {
            Self::Grpc => message(),
            _ => Bytes::from_static(&[b'x'; BODY]),
        }
    }
}

/// A gRPC message that is not compressed.
pub(super) fn message() -> Bytes {
    let mut message = vec![0, 0, 0, 0, u8::try_from(BODY).unwrap_or_default()];
    message.resize(GRPC_PREFIX + BODY, b'x');
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_its_length() {
        let message = message();
        assert_eq!(message.len(), GRPC_PREFIX + BODY);
        assert_eq!(usize::from(message[4]), BODY);
    }
}
