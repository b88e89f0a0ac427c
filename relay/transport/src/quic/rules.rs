//! Rules of RFC 9114 and RFC 9204 that h3 0.0.8 does not look at (its sources mark them as open): a push stream
//! by a client, push ids that go down or name no promise, and a field section that needs a dynamic table which
//! nobody has offered. Each is a connection error. What passes is seen here and goes on to h3 unchanged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Side;

const H3_STREAM_CREATION_ERROR: u32 = 0x103;
const H3_ID_ERROR: u32 = 0x108;
const QPACK_DECOMPRESSION_FAILED: u32 = 0x200;

const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
const MAX_PUSH_ID: u64 = 0xd;

/// The code of the rule that the peer of a connection has broken: h3 closes with a code of its own otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Violation(Arc<AtomicU32>);

impl Violation {
    pub(super) fn found(&self, code: u32) {
        self.0.store(code, Ordering::Relaxed);
    }

    /// The code, where there is one.
    pub(super) fn code(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }
}

/// What comes next on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The type of a stream of one direction.
    StreamType,
    FrameType,
    FrameLength,
    /// A frame of the control stream that is one number.
    PushId,
    /// The first byte of a field section: the required insert count, for all that matters here.
    FieldSection,
    /// The rest of a frame.
    Rest,
    /// Nothing that has rules.
    Anything,
}

/// Follows the frames of one stream as its bytes come in, in whatever pieces.
#[derive(Debug)]
pub(super) struct Rules {
    side: Side,
    next: Next,
    is_control: bool,
    /// A number (RFC 9000, section 16) as far as it has come, and the bytes of it that are missing.
    number: u64,
    missing: u8,
    frame: u64,
    left: u64,
    max_push_id: u64,
}

impl Rules {
    /// For a request's stream.
    pub(super) fn of_request(side: Side) -> Self {
        Self::new(side, Next::FrameType)
    }

    /// For a stream of one direction that the peer has opened.
    pub(super) fn of_one_way(side: Side) -> Self {
        Self::new(side, Next::StreamType)
    }

    fn new(side: Side, next: Next) -> Self {
        let (number, missing, frame, left, max_push_id) = (0, 0, 0, 0, 0);
        Self { side, next, is_control: false, number, missing, frame, left, max_push_id }
    }

    /// Looks at what came next.
    ///
    /// # Errors
    /// The code that the connection has to be closed with.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), u32> {
        while !bytes.is_empty() {
            match self.next {
                Next::StreamType => {
                    let Some(kind) = self.number(&mut bytes) else { break };
                    self.next = self.begin(kind)?;
                }
                Next::FrameType => {
                    let Some(kind) = self.number(&mut bytes) else { break };
                    (self.frame, self.next) = (kind, Next::FrameLength);
                }
                Next::FrameLength => {
                    let Some(length) = self.number(&mut bytes) else { break };
                    self.left = length;
                    self.next = match self.frame {
                        _ if length == 0 => Next::FrameType,
                        HEADERS if !self.is_control => Next::FieldSection,
                        CANCEL_PUSH | MAX_PUSH_ID if self.is_control => Next::PushId,
                        _ => Next::Rest,
                    };
                }
                Next::PushId => {
                    let before = bytes.len();
                    let id = self.number(&mut bytes);
                    self.took(before - bytes.len());
                    if let Some(id) = id {
                        self.next = if self.left == 0 { Next::FrameType } else { Next::Rest };
                        self.push_id(id)?;
                    }
                }
                Next::FieldSection => {
                    if bytes.first().is_some_and(|count| *count != 0) {
                        return Err(QPACK_DECOMPRESSION_FAILED);
                    }
                    self.next = Next::Rest;
                }
                Next::Rest => {
                    let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let (rest, after) = bytes.split_at(left.min(bytes.len()));
                    bytes = after;
                    self.took(rest.len());
                    if self.left == 0 {
                        self.next = Next::FrameType;
                    }
                }
                Next::Anything => break,
            }
        }
        Ok(())
    }

    fn begin(&mut self, stream: u64) -> Result<Next, u32> {
        match (stream, self.side) {
            (0, _) => {
                self.is_control = true;
                Ok(Next::FrameType)
            }
            // RFC 9114, section 6.2.2; and 4.6: we allow no push.
            (1, Side::Server) => Err(H3_STREAM_CREATION_ERROR),
            (1, Side::Client) => Err(H3_ID_ERROR),
            _ => Ok(Next::Anything),
        }
    }

    fn push_id(&mut self, id: u64) -> Result<(), u32> {
        match self.frame {
            // RFC 9114, section 7.2.3: a server that never pushes has promised nothing to cancel.
            CANCEL_PUSH => Err(H3_ID_ERROR),
            // RFC 9114, section 7.2.7.
            _ if id < self.max_push_id => Err(H3_ID_ERROR),
            _ => {
                self.max_push_id = id;
                Ok(())
            }
        }
    }

    fn took(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A number, once all of it is there.
    fn number(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        if self.missing == 0 {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            (self.missing, self.number) = ((1 << (first >> 6)) - 1, u64::from(first & 0x3f));
        }
        while self.missing > 0 {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            (self.missing, self.number) = (self.missing - 1, self.number << 8 | u64::from(*byte));
        }
        Some(self.number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The outcome of a stream whose bytes come in pieces of so many.
    fn look(mut rules: Rules, bytes: &[u8], piece: usize) -> Result<(), u32> {
        bytes.chunks(piece).try_for_each(|piece| rules.look(piece))
    }

    #[test]
    fn each_rule_holds_however_the_bytes_come() {
        let one_way = || Rules::of_one_way(Side::Server);
        let request = || Rules::of_request(Side::Server);
        for piece in 1..12 {
            for (rules, bytes, expected) in [
                (one_way(), &[1, 0][..], Err(H3_STREAM_CREATION_ERROR)),
                // The same number in four bytes.
                (one_way(), &[0x80, 0, 0, 1, 0], Err(H3_STREAM_CREATION_ERROR)),
                (Rules::of_one_way(Side::Client), &[1, 0], Err(H3_ID_ERROR)),
                (one_way(), &[2, 1, 1, 1], Ok(())),
                (one_way(), &[0, 4, 0, 0xd, 1, 4, 0xd, 1, 4, 0xd, 1, 5], Ok(())),
                (one_way(), &[0, 4, 0, 0xd, 1, 4, 0xd, 1, 3], Err(H3_ID_ERROR)),
                (one_way(), &[0, 4, 0, 0xd, 2, 0x41, 0, 0xd, 1, 3], Err(H3_ID_ERROR)),
                (one_way(), &[0, 4, 2, 6, 9, 3, 1, 0], Err(H3_ID_ERROR)),
                (request(), &[1, 3, 0, 0, 0xd1, 0, 2, 1, 1, 1, 2, 0, 0], Ok(())),
                (request(), &[1, 3, 2, 0, 0xd1], Err(QPACK_DECOMPRESSION_FAILED)),
                // Trailers, behind a frame that is ignored.
                (request(), &[1, 2, 0, 0, 0x21, 1, 9, 1, 2, 1, 0], Err(QPACK_DECOMPRESSION_FAILED)),
            ] {
                assert_eq!(look(rules, bytes, piece), expected, "{bytes:x?} in pieces of {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(bytes: Vec<u8>, piece in 1_usize..9, request: bool) {
            let rules = || if request { Rules::of_request(Side::Server) } else { Rules::of_one_way(Side::Server) };
            let whole = bytes.len().max(1);
            prop_assert_eq!(look(rules(), &bytes, piece), look(rules(), &bytes, whole));
        }
    }
}
