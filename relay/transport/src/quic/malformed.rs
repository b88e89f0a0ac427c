//! Messages that HTTP/3 forbids and h3 0.0.8 lets through: RFC 9114, sections 4.1.2, 4.2 and 4.3.

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, Method, Request};

/// A message that has to be refused by a reset with [`H3_MESSAGE_ERROR`](super::H3_MESSAGE_ERROR), whatever
/// came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is malformed: {0}")]
pub struct Malformed(pub(super) &'static str);

/// How long the body of a message has to be, by its head; `None` where it does not say.
///
/// # Errors
/// A request that is malformed.
pub fn check_request(request: &Request<()>) -> Result<Option<u64>, Malformed> {
    let uri = request.uri();
    let is_connect = request.method() == Method::CONNECT;
    if is_connect != uri.path_and_query().is_none() || is_connect != uri.scheme().is_none() {
        return Err(Malformed("CONNECT alone has neither `:scheme` nor `:path`"));
    }
    let is_of_http = uri.scheme().is_none_or(|one| *one == Scheme::HTTP || *one == Scheme::HTTPS);
    if is_of_http && uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Malformed("there is user information in `:authority`"));
    }
    check_fields(request.headers())
}

/// As [`check_request`] for the fields of a request or of a response.
///
/// # Errors
/// Fields that belong to an HTTP/1.1 connection, or a `content-length` that is none.
pub fn check_fields(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let mut length = None;
    for (name, value) in fields {
        if *name == CONTENT_LENGTH {
            let said = whole_number(value.as_bytes()).ok_or(Malformed("`content-length` is no number"))?;
            if length.is_some_and(|length| length != said) {
                return Err(Malformed("there are two values of `content-length`"));
            }
            length = Some(said);
        } else if [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name) {
            return Err(Malformed("there is a field of an HTTP/1.1 connection"));
        } else if *name == TE && !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
            return Err(Malformed("`te` can be `trailers` alone"));
        }
    }
    Ok(length)
}

/// Digits and nothing else (RFC 9110, section 8.6).
fn whole_number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How much of a message's body is to come, where its head has said so.
#[derive(Debug)]
pub(super) struct Remaining(Option<u64>);

impl Remaining {
    pub(super) const fn new(length: Option<u64>) -> Self {
        Self(length)
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// There is more than was said.
    pub(super) fn take(&mut self, piece: usize) -> Result<(), Malformed> {
        if let Some(left) = &mut self.0 {
            let piece = u64::try_from(piece).unwrap_or(u64::MAX);
            *left = left.checked_sub(piece).ok_or(Malformed("its body is longer than `content-length`"))?;
        }
        Ok(())
    }

    /// The body is at its end.
    ///
    /// # Errors
    /// There was less than was said.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.0 {
            None | Some(0) => Ok(()),
            Some(_) => Err(Malformed("its body is shorter than `content-length`")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use http::Uri;

    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn fields_of_a_connection_and_odd_lengths_are_refused() {
        for (list, expected) in [
            (&[][..], Some(None)),
            (&[("content-length", "5")], Some(Some(5))),
            (&[("content-length", "5"), ("content-length", "5")], Some(Some(5))),
            (&[("content-length", "5"), ("content-length", "6")], None),
            (&[("content-length", "5, 5")], None),
            (&[("content-length", "+5")], None),
            (&[("content-length", "-5")], None),
            (&[("content-length", "")], None),
            (&[("content-length", "18446744073709551616")], None),
            (&[("te", "trailers")], Some(None)),
            (&[("te", "gzip")], None),
            (&[("connection", "close")], None),
            (&[("proxy-connection", "x")], None),
            (&[("keep-alive", "1")], None),
            (&[("transfer-encoding", "chunked")], None),
            (&[("upgrade", "websocket")], None),
        ] {
            assert_eq!(check_fields(&fields(list)).ok(), expected, "{list:?}");
        }
    }

    #[test]
    fn a_request_has_the_parts_of_its_method() {
        for (method, uri, good) in [
            (Method::GET, "https://a/", true),
            (Method::GET, "a:1", false),
            (Method::CONNECT, "a:1", true),
            (Method::CONNECT, "https://a/", false),
            (Method::GET, "https://user@a/", false),
        ] {
            let mut request = Request::new(());
            (*request.method_mut(), *request.uri_mut()) = (method, uri.parse::<Uri>().unwrap());
            assert_eq!(check_request(&request).is_ok(), good, "{uri}");
        }
    }
}
