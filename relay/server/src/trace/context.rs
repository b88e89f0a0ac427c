//! W3C Trace Context, level 1: `traceparent`. `tracestate` is other systems' and passes as it is.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const SAMPLED: u8 = 1;

/// Where a call stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace: [u8; 16],
    /// The span that what follows is below.
    pub(crate) span: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// What a caller says. One that cannot be read, or comes twice, is none (section 3.2.2).
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::read(value.to_str().ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version = hex::<1>(parts.next()?)?[0];
        let (trace, span, flags) = (hex(parts.next()?)?, hex(parts.next()?)?, hex::<1>(parts.next()?)?[0]);
        // Version 0 has nothing more, later ones may; 255 is none.
        let ends_well = match version {
            0 => parts.next().is_none(),
            255 => false,
            _ => true,
        };
        (ends_well && trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace,
            span,
            flags: flags & SAMPLED,
        })
    }

    /// The beginning of a trace, by 128 and 64 random bits.
    pub(crate) fn root(trace: u128, span: u64, sampled: bool) -> Self {
        Self { trace: trace.max(1).to_be_bytes(), span: span.max(1).to_be_bytes(), flags: u8::from(sampled) }
    }

    /// A span below this one, by 64 random bits.
    pub(crate) fn child(self, span: u64) -> Self {
        Self { span: span.max(1).to_be_bytes(), ..self }
    }

    pub(crate) const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Tells the next hop.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.insert(TRACEPARENT, value);
        }
    }

    /// The trace's id as logs and tools write it.
    pub(crate) fn trace_id(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

/// Lower-case digits alone.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_the_same() {
        let read = TraceContext::read(GOOD).unwrap();
        assert!(read.is_sampled());
        assert_eq!(read.to_string(), GOOD);
        assert_eq!(read.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let child = read.child(0xb7ad_6b71_6920_3331);
        assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01");
        assert_eq!(
            TraceContext::read(&TraceContext::root(7, 0, false).to_string()),
            Some(TraceContext::root(7, 1, false))
        );
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for broken in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::read(broken), None, "{broken}");
        }
        let later = TraceContext::read(&format!("cc{}-what-ever", &GOOD[2..])).unwrap();
        assert_eq!(later.to_string(), GOOD, "a later version is answered in ours");
        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceContext::of(&twice).is_some());
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceContext::of(&twice).is_none());
    }
}
