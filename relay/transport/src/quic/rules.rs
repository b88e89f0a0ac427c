//! Rules of RFC 9114 and RFC 9204 that h3 0.0.8 does not look at (its sources mark them as open): a push stream
//! by a client, push ids that go down or name no promise, and a field section that needs a dynamic table which
//! nobody has offered; and frames that it would keep whole, however long. Each is a connection error. A malformed
//! head or trailer section costs its stream alone ([`FieldSection`]). What passes is seen here and goes on to h3
//! unchanged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Side;
use super::field_section::{FieldSection, Kind};
use super::malformed::Malformed;

const H3_EXCESSIVE_LOAD: u32 = 0x107;
const H3_STREAM_CREATION_ERROR: u32 = 0x103;
const H3_ID_ERROR: u32 = 0x108;
const QPACK_DECOMPRESSION_FAILED: u32 = 0x200;

const DATA: u64 = 0x0;
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

/// Which rule a peer has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ends, with this code.
    Connection(u32),
    /// The message ends, and its stream with it.
    Message(Malformed),
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Self::Message(malformed)
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
    InsertCount,
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
    /// The longest frame that is taken of those that are kept until they are whole: all but DATA.
    max_frame: u64,
    section: FieldSection,
    /// Whether the head of the message has passed: what is left are its trailers.
    head_passed: bool,
}

impl Rules {
    /// For a request's stream.
    pub(super) fn of_request(side: Side, max_frame: u64) -> Self {
        Self::new(side, Next::FrameType, max_frame)
    }

    /// For a stream of one direction that the peer has opened.
    pub(super) fn of_one_way(side: Side, max_frame: u64) -> Self {
        Self::new(side, Next::StreamType, max_frame)
    }

    fn new(side: Side, next: Next, max_frame: u64) -> Self {
        let (number, missing, frame, left, max_push_id) = (0, 0, 0, 0, 0);
        let (is_control, head_passed, section) = (false, false, FieldSection::new(Kind::Trailers));
        Self {
            side,
            next,
            is_control,
            number,
            missing,
            frame,
            left,
            max_push_id,
            max_frame,
            section,
            head_passed,
        }
    }

    /// Looks at what came next.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
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
                    if self.frame != DATA && length > self.max_frame {
                        return Err(Broken::Connection(H3_EXCESSIVE_LOAD));
                    }
                    self.left = length;
                    self.next = match self.frame {
                        _ if length == 0 => Next::FrameType,
                        HEADERS if !self.is_control => {
                            self.section = FieldSection::new(self.kind_of_section());
                            Next::InsertCount
                        }
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
                Next::InsertCount => {
                    if bytes.first().is_some_and(|count| *count != 0) {
                        return Err(Broken::Connection(QPACK_DECOMPRESSION_FAILED));
                    }
                    self.next = Next::FieldSection;
                }
                Next::FieldSection => {
                    let section = self.rest(&mut bytes);
                    self.section.look(section)?;
                    if self.left == 0 {
                        self.head_passed = !self.section.is_interim();
                    }
                }
                Next::Rest => {
                    let _unchecked = self.rest(&mut bytes);
                }
                Next::Anything => break,
            }
        }
        Ok(())
    }

    /// What of the bytes belongs to the frame; behind its end comes another one.
    fn rest<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (rest, after) = bytes.split_at(left.min(bytes.len()));
        *bytes = after;
        self.took(rest.len());
        if self.left == 0 {
            self.next = Next::FrameType;
        }
        rest
    }

    fn kind_of_section(&self) -> Kind {
        match self.side {
            _ if self.head_passed => Kind::Trailers,
            Side::Server => Kind::Request,
            Side::Client => Kind::Response,
        }
    }

    fn begin(&mut self, stream: u64) -> Result<Next, Broken> {
        match (stream, self.side) {
            (0, _) => {
                self.is_control = true;
                Ok(Next::FrameType)
            }
            // RFC 9114, section 6.2.2; and 4.6: we allow no push.
            (1, Side::Server) => Err(Broken::Connection(H3_STREAM_CREATION_ERROR)),
            (1, Side::Client) => Err(Broken::Connection(H3_ID_ERROR)),
            _ => Ok(Next::Anything),
        }
    }

    fn push_id(&mut self, id: u64) -> Result<(), Broken> {
        match self.frame {
            // RFC 9114, section 7.2.3: a server that never pushes has promised nothing to cancel.
            CANCEL_PUSH => Err(Broken::Connection(H3_ID_ERROR)),
            // RFC 9114, section 7.2.7.
            _ if id < self.max_push_id => Err(Broken::Connection(H3_ID_ERROR)),
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

    const MAX: u64 = 100;

    /// The outcome of a stream whose bytes come in pieces of so many.
    fn look(mut rules: Rules, bytes: &[u8], piece: usize) -> Result<(), Broken> {
        bytes.chunks(piece).try_for_each(|piece| rules.look(piece))
    }

    #[test]
    fn each_rule_holds_however_the_bytes_come() {
        let one_way = || Rules::of_one_way(Side::Server, MAX);
        let request = || Rules::of_request(Side::Server, MAX);
        let response = || Rules::of_request(Side::Client, MAX);
        for piece in 1..12 {
            for (rules, bytes, expected) in [
                (one_way(), &[1, 0][..], Err(H3_STREAM_CREATION_ERROR)),
                // The same number in four bytes.
                (one_way(), &[0x80, 0, 0, 1, 0], Err(H3_STREAM_CREATION_ERROR)),
                (Rules::of_one_way(Side::Client, MAX), &[1, 0], Err(H3_ID_ERROR)),
                (one_way(), &[2, 1, 1, 1], Ok(())),
                (one_way(), &[0, 4, 0, 0xd, 1, 4, 0xd, 1, 4, 0xd, 1, 5], Ok(())),
                (one_way(), &[0, 4, 0, 0xd, 1, 4, 0xd, 1, 3], Err(H3_ID_ERROR)),
                (one_way(), &[0, 4, 0, 0xd, 2, 0x41, 0, 0xd, 1, 3], Err(H3_ID_ERROR)),
                (one_way(), &[0, 4, 2, 6, 9, 3, 1, 0], Err(H3_ID_ERROR)),
                (request(), &[1, 3, 0, 0, 0xd1, 0, 2, 1, 1, 1, 2, 0, 0], Ok(())),
                (request(), &[1, 3, 2, 0, 0xd1], Err(QPACK_DECOMPRESSION_FAILED)),
                // A frame that is to be ignored and one of settings, both too long to wait for; and a body.
                (request(), &[0x21, 0x40, 101], Err(H3_EXCESSIVE_LOAD)),
                (one_way(), &[0, 4, 0x40, 101], Err(H3_EXCESSIVE_LOAD)),
                (request(), &[1, 3, 0, 0, 0xd1, 0, 0x7f, 0xff], Ok(())),
                // Trailers, behind a frame that is ignored.
                (request(), &[1, 2, 0, 0, 0x21, 1, 9, 1, 2, 1, 0], Err(QPACK_DECOMPRESSION_FAILED)),
            ] {
                let expected = expected.map_err(Broken::Connection);
                assert_eq!(look(rules, bytes, piece), expected, "{bytes:x?} in pieces of {piece}");
            }
            for (rules, bytes, good) in [
                // An interim response, a final one, and trailers.
                (response(), &[1, 3, 0, 0, 0xd8, 1, 3, 0, 0, 0xd9, 1, 3, 0, 0, 0xdd][..], true),
                (response(), &[1, 3, 0, 0, 0xd9, 1, 3, 0, 0, 0xd9], false),
                (request(), &[1, 3, 0, 0, 0xd1, 0, 1, 7, 1, 3, 0, 0, 0xd1], false),
                (request(), &[1, 4, 0, 0, 0xd1, 0xd1], false),
            ] {
                let outcome = look(rules, bytes, piece);
                assert_eq!(outcome.is_ok(), good, "{bytes:x?} in pieces of {piece}: {outcome:?}");
                assert!(!matches!(outcome, Err(Broken::Connection(_))), "{outcome:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(bytes: Vec<u8>, piece in 1_usize..9, request: bool) {
            let rules = || if request { Rules::of_request(Side::Server, MAX) } else { Rules::of_one_way(Side::Server, MAX) };
            let whole = bytes.len().max(1);
            prop_assert_eq!(look(rules(), &bytes, piece), look(rules(), &bytes, whole));
        }
    }
}
