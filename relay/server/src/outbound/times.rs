//! Until when a try may last, and how the next hop hears of it.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use relay_core::{RpcStyle, format_grpc_timeout, headers};

/// Until when a try may last.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) deadline: Instant,
    /// Whether the deadline is the operator's: a peer that misses it is slow, not its caller hasty.
    pub(super) own_deadline: bool,
    pub(super) try_timeout: Option<Duration>,
}

/// Who says until when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Caller,
    Operator,
}

impl Times {
    /// When a try that begins now ends, and who says so.
    pub(super) fn end(&self, now: Instant) -> (Instant, Whose) {
        match self.try_timeout.map(|timeout| now + timeout) {
            Some(end) if end < self.deadline => (end, Whose::Operator),
            _ if self.own_deadline => (self.deadline, Whose::Operator),
            _ => (self.deadline, Whose::Caller),
        }
    }
}

/// Tells the next hop how long the caller still waits.
pub(super) fn write_deadline(style: RpcStyle, left: Duration, headers: &mut HeaderMap) {
    let (name, text) = match style {
        RpcStyle::Grpc => (headers::GRPC_TIMEOUT, format_grpc_timeout(left)),
        RpcStyle::Yarpc | RpcStyle::Http => (headers::CONTEXT_TTL_MS, left.as_millis().max(1).to_string()),
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
