//! The one place where a [`Status`] becomes an answer on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use relay_core::{Code, RpcStyle, Status, headers};

use crate::body::{self, Body};

/// The name of a status whose request came too slowly, which HTTP has a status of its own for.
pub(crate) const REQUEST_TIMEOUT: &str = "request-timeout";

/// Answers in the style that the request was written in.
#[must_use]
pub fn status(style: RpcStyle, status: &Status) -> Response<Body> {
    match style {
        RpcStyle::Yarpc => yarpc(status),
        RpcStyle::Grpc => grpc(status),
        RpcStyle::Http => problem(status),
    }
}

/// Problem details (RFC 9457) with the code's name and a hint.
#[must_use]
pub fn problem(status: &Status) -> Response<Body> {
    let http = match status.name.as_deref() {
        Some(REQUEST_TIMEOUT) => StatusCode::REQUEST_TIMEOUT,
        _ => http_status(status.code),
    };
    problem_as(status, http)
}

/// As [`problem`] under another HTTP status than the code's own; the `type` is the status's name
/// where it has one.
#[must_use]
pub fn problem_as(status: &Status, http_status: StatusCode) -> Response<Body> {
    let document = serde_json::json!({
        "type": format!("urn:omnirelay:{}", status.name.as_deref().unwrap_or(status.code.name())),
        "title": http_status.canonical_reason().unwrap_or("Client closed the request"),
        "status": http_status.as_u16(),
        "detail": status.message,
        "code": status.code.name(),
        "hint": status.hint,
    });
    let mut response = Response::new(body::full(document.to_string()));
    *response.status_mut() = http_status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status.code == Code::Unauthenticated {
        headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    put_retry_after(headers, status);
    response
}

/// A trailers-only gRPC answer: the outcome stands in the header section.
#[must_use]
pub fn grpc(status: &Status) -> Response<Body> {
    let mut response = Response::new(body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    put_grpc_status(headers, status);
    response
}

/// Writes `grpc-status` and `grpc-message`, and `rpc-error-name` for those who know it.
pub fn put_grpc_status(headers: &mut HeaderMap, status: &Status) {
    headers.insert(headers::GRPC_STATUS, number(status.code));
    if !status.message.is_empty() {
        let text = match &status.hint {
            Some(hint) => percent_encode(&format!("{}; {hint}", status.message)),
            None => percent_encode(&status.message),
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(headers::GRPC_MESSAGE, value);
        }
    }
    if let Some(Ok(name)) = status.name.as_deref().map(HeaderValue::from_str) {
        headers.insert(headers::RPC_ERROR_NAME, name);
    }
    put_details(headers, headers::GRPC_STATUS_DETAILS, status);
    if let Some(millis) = status.retry_after_ms {
        headers.insert(headers::GRPC_RETRY_PUSHBACK_MS, HeaderValue::from(millis.get()));
    }
}

/// Writes `Retry-After` (RFC 9110, section 10.2.3), which knows whole seconds alone.
fn put_retry_after(headers: &mut HeaderMap, status: &Status) {
    if let Some(millis) = status.retry_after_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(millis.get().div_ceil(1000)));
    }
}

/// The value of `grpc-status`, which every call has and none should allocate.
fn number(code: Code) -> HeaderValue {
    const NUMBERS: [&str; 17] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
    HeaderValue::from_static(NUMBERS.get(usize::from(code.grpc())).copied().unwrap_or("2"))
}

/// Writes the details of a status in base64, unpadded as gRPC asks for.
fn put_details(headers: &mut HeaderMap, name: http::HeaderName, status: &Status) {
    if status.details.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(STANDARD_NO_PAD.encode(&status.details))) {
        headers.insert(name, value);
    }
}

/// Reads details with or without padding; what cannot be decoded is no details.
fn read_details(headers: &HeaderMap, name: &http::HeaderName) -> Bytes {
    let Some(value) = headers.get(name) else {
        return Bytes::new();
    };
    let text = value.as_bytes().trim_ascii_end();
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    STANDARD_NO_PAD.decode(unpadded).map(Bytes::from).unwrap_or_default()
}

/// Reads what [`yarpc`] or another YARPC server wrote into the headers; `None` where the answer
/// is a success. The message is the body's where the header has none.
#[must_use]
pub fn read_yarpc_status(status: StatusCode, headers: &HeaderMap) -> Option<Status> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let named = text(headers::RPC_ERROR_CODE).and_then(|code| code.parse::<Code>().ok());
    let failed = text(headers::RPC_STATUS) == Some("error") || !status.is_success();
    let code = match named {
        Some(code) if code != Code::Ok => code,
        _ if failed && status.is_success() => Code::Unknown,
        _ if failed => Code::from_http_status(status.as_u16()),
        _ => return None,
    };
    let message = headers.get(headers::RPC_ERROR_MESSAGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut read = Status::new(code, String::from_utf8_lossy(message));
    read.name = text(headers::RPC_ERROR_NAME).map(ToOwned::to_owned);
    read.details = read_details(headers, &headers::RPC_ERROR_DETAILS);
    Some(read)
}

/// YARPC over HTTP: the outcome in headers and the message as the body, which is how a YARPC
/// caller reads it.
#[must_use]
pub fn yarpc(status: &Status) -> Response<Body> {
    let text = match &status.hint {
        Some(hint) => format!("{}; {hint}", status.message),
        None => status.message.clone(),
    };
    let mut response = Response::new(body::full(text.clone()));
    *response.status_mut() = http_status(status.code);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(headers::RPC_STATUS, HeaderValue::from_static("error"));
    headers.insert(headers::RPC_ERROR_CODE, HeaderValue::from_static(status.code.name()));
    if let Some(Ok(name)) = status.name.as_deref().map(HeaderValue::from_str) {
        headers.insert(headers::RPC_ERROR_NAME, name);
    }
    if let Ok(message) = HeaderValue::from_str(&text.replace(['\r', '\n'], " ")) {
        headers.insert(headers::RPC_ERROR_MESSAGE, message);
    }
    put_details(headers, headers::RPC_ERROR_DETAILS, status);
    put_retry_after(headers, status);
    response
}

fn http_status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// gRPC's percent-encoding of messages: everything outside printable ASCII, and `%`.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Reads the code alone of what [`put_grpc_status`] or another gRPC server wrote; `None` without
/// `grpc-status`. What is no number is `unknown`.
#[must_use]
pub fn read_grpc_code(headers: &HeaderMap) -> Option<Code> {
    let number = headers.get(headers::GRPC_STATUS)?.to_str().ok()?;
    Some(Code::from_grpc(number.parse().unwrap_or(2)))
}

/// Reads what [`put_grpc_status`] or another gRPC server wrote; `None` without `grpc-status`.
#[must_use]
pub fn read_grpc_status(headers: &HeaderMap) -> Option<Status> {
    let code = read_grpc_code(headers)?;
    let message = headers.get(headers::GRPC_MESSAGE).map(|value| percent_decode(value.as_bytes()));
    let status = Status::new(code, message.unwrap_or_default());
    Some(status.with_details(read_details(headers, &headers::GRPC_STATUS_DETAILS)))
}

/// What cannot be decoded is kept as it came, as gRPC asks for.
fn percent_decode(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        let code = match (byte, tail) {
            (b'%', [high, low, ..]) => char::from(*high).to_digit(16).zip(char::from(*low).to_digit(16)),
            _ => None,
        };
        match code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_survive_whatever_they_hold() {
        for message in ["plain", "100 %", "ü\n\t", "%2", "a%zz"] {
            let mut headers = HeaderMap::new();
            put_grpc_status(&mut headers, &Status::not_found(message));
            assert_eq!(read_grpc_status(&headers), Some(Status::not_found(message)));
        }
    }

    #[test]
    fn details_survive_both_styles() {
        for details in ["", "d", "de", "det", "\u{1}\u{ff}"] {
            let status = Status::not_found("x").with_details(details);
            let mut headers = HeaderMap::new();
            put_grpc_status(&mut headers, &status);
            assert_eq!(read_grpc_status(&headers), Some(status.clone()));
            let response = yarpc(&status.clone().with_name("n"));
            let read = read_yarpc_status(response.status(), response.headers());
            assert_eq!(read, Some(status.with_name("n")));
        }
        let padded = HeaderMap::from_iter([(headers::RPC_ERROR_DETAILS, HeaderValue::from_static("ZA=="))]);
        assert_eq!(read_details(&padded, &headers::RPC_ERROR_DETAILS), "d");
        assert_eq!(read_yarpc_status(StatusCode::OK, &padded), None);
        let plain = read_yarpc_status(StatusCode::NOT_FOUND, &HeaderMap::new());
        assert_eq!(plain.map(|status| status.code), Some(Code::NotFound));
    }

    #[test]
    fn a_message_with_line_breaks_stays_one_header() {
        let response = yarpc(&Status::internal("a\r\nx-evil: 1"));
        assert_eq!(
            response.headers().get(headers::RPC_ERROR_MESSAGE).map(HeaderValue::as_bytes),
            Some(b"a  x-evil: 1".as_slice())
        );
        assert!(!response.headers().contains_key("x-evil"));
    }
}
