//! How long a caller still waits, as the wire says it.

use std::time::Duration;

/// The longest time to live that is believed, one day: more is a mistake.
const MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads `Context-TTL-MS`: whole milliseconds. `None` where it is not a number or is nought.
#[must_use]
pub fn parse_ttl_ms(text: &str) -> Option<Duration> {
    let millis: u64 = digits(text, 19)?;
    (millis > 0).then(|| Duration::from_millis(millis).min(MAX))
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
        for text in ["", "0", "-1", "1.5", "99999999999999999999", " 1"] {
            assert_eq!(parse_ttl_ms(text), None, "{text:?}");
        }
        assert_eq!(parse_ttl_ms("250"), Some(Duration::from_millis(250)));
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
