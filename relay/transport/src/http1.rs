//! What HTTP/1.1 asks of a request beyond the grammar that hyper holds, and what its body's faults are to its sender.

use std::error::Error as _;
use std::io;
use std::net::Ipv6Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Response, Version};
use http_body::{Frame, SizeHint};
use relay_core::Status;

use crate::body::{Body, BoxError};
use crate::respond;
use crate::stats::{Bound, ListenerStats};

/// What is wrong with a request's head.
pub(crate) fn fault(head: &Parts) -> Option<Status> {
    host_fault(head).or_else(|| coding_fault(head))
}

/// Refuses a request whose head is wrong, in HTTP's own words however the call is written. Where the request ends is not
/// to be believed then: its connection ends.
pub(crate) fn refuse(status: &Status) -> Response<Body> {
    let mut response = respond::problem(status);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// RFC 9112, section 3.2: one `Host` and a good one, whatever the form of the target. HTTP/1.0 knew none.
fn host_fault(head: &Parts) -> Option<Status> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (wrong, hint) = match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_11 => {
            ("the request has no `Host`", "send `Host: NAME:PORT`, which HTTP/1.1 asks for")
        }
        (Some(_), Some(_)) => ("the request has two `Host`", "send one `Host`"),
        (Some(host), None) if !is_host(host.as_bytes()) => {
            ("the request's `Host` is no host", "send `Host: NAME:PORT`")
        }
        _ => return None,
    };
    Some(Status::invalid_argument(wrong).with_hint(hint))
}

/// A host with or without a port. Who has no name for the server sends an empty one (RFC 9110, section 7.2).
fn is_host(value: &[u8]) -> bool {
    if value.is_empty() {
        return true;
    }
    let Ok(authority) = Authority::try_from(value) else {
        return false;
    };
    let host = authority.host();
    let is_address = |host: &str| {
        host.strip_prefix('[').is_none_or(|rest| {
            rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        })
    };
    // What stands before the host is a user, and what stands after it no more than a port.
    let port = authority.as_str().strip_prefix(host).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    let is_port = |port: &str| {
        port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    };
    !host.is_empty() && is_address(host) && port.is_some_and(is_port)
}

/// RFC 9112, sections 6.1 and 7: no coding is known but `chunked`, which hyper has seen stand at the end.
fn coding_fault(head: &Parts) -> Option<Status> {
    let mut chunked = 0_usize;
    for value in head.headers.get_all(TRANSFER_ENCODING) {
        for coding in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if coding.eq_ignore_ascii_case(b"chunked") {
                chunked += 1;
            } else if !coding.is_empty() {
                let coding = String::from_utf8_lossy(coding);
                let message = format!("the transfer coding `{coding}` is not known");
                return Some(
                    Status::unimplemented(message)
                        .with_hint("send `Transfer-Encoding: chunked` alone, and name codings of the content in `Content-Encoding`"),
                );
            }
        }
    }
    (chunked > 1)
        .then(|| Status::invalid_argument("the body is chunked twice").with_hint("name `chunked` once"))
}

/// A request's body. hyper tells what it cannot read as any connection's error: here a body that is not chunked as
/// it says is a fault of its sender.
#[derive(Debug)]
pub(crate) struct Http1Incoming {
    body: hyper::body::Incoming,
    stats: ListenerStats,
}

impl Http1Incoming {
    pub(crate) fn new(body: hyper::body::Incoming, stats: ListenerStats) -> Self {
        Self { body, stats }
    }

    fn broken(&self, error: hyper::Error) -> BoxError {
        let reason = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        match reason.map(io::Error::kind) {
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                self.stats.refused(Bound::Malformed);
                let reason = reason.map(ToString::to_string).unwrap_or_default();
                Status::invalid_argument(format!("the request's body is not chunked as it says: {reason}"))
                    .with_hint("send each chunk as its size in hexadecimal digits, CRLF, its bytes and CRLF")
                    .into()
            }
            _ => error.into(),
        }
    }
}

impl http_body::Body for Http1Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(|error| self.broken(error))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in
            ["", "a", "a.example:8080", "a:", "127.0.0.1:1", "[::1]", "[::1]:443", "a_b", "localhost:65535"]
        {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            "a b", "a/b", "u@a", "a:b", "a:+1", "a:65536", "a:1:2", "[::1", "[zz]", "[::1]x", ":80", "a?b",
            "a#b", "a\\b", "\u{fc}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
    }
}
