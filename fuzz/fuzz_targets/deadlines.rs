//! How long a caller waits: `grpc-timeout` and `Context-TTL-MS`.

use std::time::Duration;

use relay_core::{format_grpc_timeout, parse_grpc_timeout, parse_ttl_ms};

use crate::Target;

pub(crate) const TARGET: Target =
    Target {
        name: "deadlines", run, words: &["H", "M", "S", "m", "u", "n", "99999999", "0", "+", " ", "é"]
    };

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let day = Duration::from_secs(24 * 3600);
    if let Some(timeout) = parse_ttl_ms(text) {
        assert!(timeout <= day, "{text:?} is {timeout:?}");
    }
    if let Some(timeout) = parse_grpc_timeout(text) {
        assert!(timeout <= day, "{text:?} is {timeout:?}");
        let written = format_grpc_timeout(timeout);
        let back = parse_grpc_timeout(&written);
        assert!(back.is_some_and(|back| back <= timeout), "{text:?} became {written}");
    }
}
