//! How long a caller still waits, as the wire says it.

use std::time::Duration;

use http::HeaderValue;

use crate::code::Code;
use crate::meta::RpcStyle;
use crate::status::Status;

/// The longest time to live that is believed, one day: more is a mistake.
const MAX: Duration = Duration::from_secs(24 * 3600);

/// A deadline that a call is not begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedDeadline<'a> {
    /// Nobody can read it. Taken for none, the call would go on long after its caller is gone.
    Unreadable {
        /// The header that names it.
        header: &'static str,
        /// What that says.
        value: &'a HeaderValue,
        /// What it may say.
        form: &'static str,
    },
    /// It leaves no time.
    Passed {
        /// The header that names it.
        header: &'static str,
    },
}

impl From<RefusedDeadline<'_>> for Status {
    fn from(refused: RefusedDeadline<'_>) -> Self {
        const SHOWN: usize = 32;
        match refused {
            RefusedDeadline::Unreadable { header, value, form } => {
                let shown = value.as_bytes();
                let shown = shown.get(..SHOWN).unwrap_or(shown).escape_ascii();
                Self::invalid_argument(format!("`{header}: {shown}` is no deadline")).with_hint(form)
            }
            RefusedDeadline::Passed { header } => {
                Self::new(Code::DeadlineExceeded, format!("the caller had no time left by `{header}`"))
            }
        }
    }
}

/// How long the caller of a request in `style` still waits, by its header; `None` where it says nothing.
///
/// # Errors
/// What is no deadline, which grpc-go and yarpc-go refuse too, and one of nought.
pub fn timeout<'a>(
    style: RpcStyle,
    ttl_ms: Option<&'a HeaderValue>,
    grpc_timeout: Option<&'a HeaderValue>,
) -> Result<Option<Duration>, RefusedDeadline<'a>> {
    type Parse = fn(&str) -> Option<Duration>;
    let (header, value, parse, form): (_, _, Parse, _) = match style {
        RpcStyle::Grpc => {
            let form = "send one to eight digits and a unit of `H`, `M`, `S`, `m`, `u` or `n`, such as `grpc-timeout: 1500m`";
            ("grpc-timeout", grpc_timeout, parse_grpc_timeout, form)
        }
        RpcStyle::Yarpc | RpcStyle::Http => {
            let form = "send whole milliseconds, such as `context-ttl-ms: 1500`";
            ("context-ttl-ms", ttl_ms, parse_ttl_ms, form)
        }
    };
    let Some(value) = value else { return Ok(None) };
    match value.to_str().ok().and_then(parse) {
        Some(Duration::ZERO) => Err(RefusedDeadline::Passed { header }),
        Some(timeout) => Ok(Some(timeout)),
        None => Err(RefusedDeadline::Unreadable { header, value, form }),
    }
}

/// Reads `Context-TTL-MS`: whole milliseconds. `None` where it is not a number.
#[must_use]
pub fn parse_ttl_ms(text: &str) -> Option<Duration> {
    digits(text, 19).map(|millis| Duration::from_millis(millis).min(MAX))
}

/// Reads `grpc-timeout`: one to eight digits and a unit of `H M S m u n` (gRPC's
/// `PROTOCOL-HTTP2.md`). `None` where it is anything else.
#[must_use]
pub fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = digits(number, 8)?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(timeout.min(MAX))
}

/// Writes `grpc-timeout` in the finest unit that needs at most eight digits.
#[must_use]
pub fn format_grpc_timeout(timeout: Duration) -> String {
    const LIMIT: u128 = 100_000_000;
    let timeout = timeout.min(MAX);
    let units = [(timeout.as_nanos(), 'n'), (timeout.as_micros(), 'u'), (timeout.as_millis(), 'm')];
    match units.into_iter().find(|(number, _)| *number < LIMIT) {
        Some((number, unit)) => format!("{number}{unit}"),
        None => format!("{}S", timeout.as_secs()),
    }
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let valid = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn foreign_text_is_refused() {
        for text in ["", "H", "1", "-1S", "+1S", "123456789S", "1é", "é", "1 S", "1s"] {
            assert_eq!(parse_grpc_timeout(text), None, "{text:?}");
        }
        for text in ["", "-1", "1.5", "99999999999999999999", " 1"] {
            assert_eq!(parse_ttl_ms(text), None, "{text:?}");
        }
        assert_eq!(parse_ttl_ms("250"), Some(Duration::from_millis(250)));
        assert_eq!(parse_ttl_ms("0"), Some(Duration::ZERO), "a hop that has no time left says so");
    }

    #[test]
    fn the_header_of_the_style_counts_and_what_is_no_deadline_is_refused_by_name() {
        let (bad, good) = (HeaderValue::from_static("x"), HeaderValue::from_static("5"));
        assert_eq!(timeout(RpcStyle::Yarpc, None, Some(&bad)), Ok(None));
        assert_eq!(timeout(RpcStyle::Http, Some(&good), Some(&bad)), Ok(Some(Duration::from_millis(5))));
        let long = HeaderValue::from_bytes(&[b'\xff'; 4000]).unwrap_or(bad);
        for (style, name) in [(RpcStyle::Grpc, "grpc-timeout"), (RpcStyle::Yarpc, "context-ttl-ms")] {
            let status = timeout(style, Some(&long), Some(&long)).map_err(Status::from).err();
            let status = status.unwrap_or_else(|| Status::internal("it was read"));
            assert_eq!(status.code, Code::InvalidArgument);
            assert!(status.message.contains(name) && status.message.len() < 200, "{status}");
            assert!(status.hint.is_some_and(|hint| hint.contains(name)));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_never_longer(nanos in 0u64..90_000_000_000_000) {
            let timeout = Duration::from_nanos(nanos);
            let back = parse_grpc_timeout(&format_grpc_timeout(timeout)).unwrap_or_default();
            prop_assert!(back <= timeout.min(MAX));
            prop_assert!(timeout.min(MAX).saturating_sub(back) <= timeout / 90_000 + Duration::from_nanos(1));
        }

        #[test]
        fn nothing_panics(text in ".{0,12}") {
            let _any = (parse_grpc_timeout(&text), parse_ttl_ms(&text));
        }
    }
}
