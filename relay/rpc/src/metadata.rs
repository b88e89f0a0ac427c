//! The application's own headers and trailers, in either style.
//!
//! gRPC carries them under their own names, with `-bin` names in base64
//! (`PROTOCOL-HTTP2.md`, Custom-Metadata); YARPC over HTTP puts `Rpc-Header-` before the name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use relay_core::{RpcStyle, headers};

/// A binary value as gRPC writes it, for a name that ends in `-bin`.
#[must_use]
pub fn encode_bin(bytes: &[u8]) -> HeaderValue {
    let text = Bytes::from(STANDARD_NO_PAD.encode(bytes));
    // Base64 is visible ASCII, which every header value may hold.
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A binary value as gRPC writes it, padded or not; `None` where it is no base64.
#[must_use]
pub fn decode_bin(value: &HeaderValue) -> Option<Bytes> {
    let text = value.as_bytes();
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    STANDARD_NO_PAD.decode(unpadded).ok().map(Bytes::from)
}

/// What is left of headers without those that the protocols use.
pub fn custom(style: RpcStyle, map: &HeaderMap) -> impl Iterator<Item = (&str, &HeaderValue)> {
    map.iter().filter_map(move |(name, value)| {
        let name = name.as_str();
        let plain = match style {
            RpcStyle::Yarpc => name.strip_prefix(headers::RPC_HEADER_PREFIX)?,
            RpcStyle::Grpc | RpcStyle::Http if is_reserved(name) => return None,
            RpcStyle::Grpc | RpcStyle::Http => name,
        };
        Some((plain, value))
    })
}

/// Adds the application's metadata to the headers of a message. Reserved names are left out: they
/// would change what the message means.
pub(crate) fn put(style: RpcStyle, from: HeaderMap, into: &mut HeaderMap) {
    let mut last: Option<HeaderName> = None;
    for (name, value) in from {
        // A name that is given many times stands before its first value alone.
        let Some(name) = name.or_else(|| last.clone()) else { continue };
        last = Some(name.clone());
        if is_reserved(name.as_str()) {
            continue;
        }
        match style {
            RpcStyle::Grpc | RpcStyle::Http => {
                into.append(name, value);
            }
            RpcStyle::Yarpc => {
                if let Ok(name) = HeaderName::try_from(format!("{}{name}", headers::RPC_HEADER_PREFIX)) {
                    into.append(name, value);
                }
            }
        }
    }
}

fn is_reserved(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["grpc-", "rpc-", "context-ttl"];
    const NAMES: [&str; 13] = [
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "te",
        "connection",
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "date",
        "alt-svc",
        "trailer",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn binary_values_come_back_padded_or_not(bytes: Vec<u8>, text in "[ -~]{0,40}") {
            let value = encode_bin(&bytes);
            prop_assert_eq!(decode_bin(&value), Some(Bytes::from(bytes.clone())));
            let padded = base64::engine::general_purpose::STANDARD.encode(&bytes);
            if let Ok(padded) = HeaderValue::try_from(padded) {
                prop_assert_eq!(decode_bin(&padded), Some(Bytes::from(bytes)));
            }
            if let Ok(value) = HeaderValue::try_from(text) {
                let _any = decode_bin(&value);
            }
        }
    }

    #[test]
    fn what_an_application_sets_never_changes_the_protocol() {
        let mut from = HeaderMap::new();
        for (name, value) in [("grpc-status", "7"), ("content-type", "x"), ("x-a", "1"), ("x-a", "2")] {
            from.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for (style, name) in [(RpcStyle::Grpc, "x-a"), (RpcStyle::Yarpc, "rpc-header-x-a")] {
            let mut into = HeaderMap::new();
            put(style, from.clone(), &mut into);
            let values: Vec<&[u8]> = into.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!((into.len(), values), (2, vec![b"1".as_slice(), b"2"]));
        }
    }
}
