//! Pseudo-header fields where RFC 9114, section 4.3 does not want them: twice, behind a field, in the wrong kind
//! of message, in trailers. h3 0.0.8 hands out a message without them, so that nobody above could tell. Names are
//! all that counts here; they are read off QPACK's representations (RFC 9204, section 4.5.2 and following) as
//! the bytes pass, without decoding anything.

use super::malformed::Malformed;

/// The most bytes of a pseudo-header field's name that is written out: `:authority`.
const LONGEST_NAME: usize = 10;

/// A kind of field section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    Trailers,
}

/// A pseudo-header field; its value is its bit among those that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pseudo {
    Authority = 1,
    Method = 2,
    Path = 4,
    Scheme = 8,
    Status = 16,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    RequiredInsertCount,
    Base,
    Line,
    /// What a prefix of a number (RFC 7541, section 5.1) leaves open.
    Number(Then),
    Name,
    ValueLength,
    Value,
    /// h3 refuses what follows.
    Anything,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Base,
    IndexedLine,
    IndexedName,
    NameLength,
    ValueLength,
}

/// Follows one field section.
#[derive(Debug)]
pub(super) struct FieldSection {
    kind: Kind,
    at: At,
    number: u64,
    shift: u32,
    /// Bytes of a string that are still to come.
    left: u64,
    huffman: bool,
    /// The name's beginning, as far as it may be a pseudo-header field's.
    name: [u8; LONGEST_NAME],
    name_length: usize,
    seen: u8,
    fields_began: bool,
    /// The value that comes is the status's.
    is_status: bool,
    is_interim: bool,
}

impl FieldSection {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            at: At::RequiredInsertCount,
            number: 0,
            shift: 0,
            left: 0,
            huffman: false,
            name: [0; LONGEST_NAME],
            name_length: 0,
            seen: 0,
            fields_began: false,
            is_status: false,
            is_interim: false,
        }
    }

    /// Whether this was an interim response, which another one follows (RFC 9114, section 4.1).
    pub(super) const fn is_interim(&self) -> bool {
        self.is_interim
    }

    /// Looks at what comes next of the section.
    ///
    /// # Errors
    /// The message is malformed.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let Some((byte, rest)) = bytes.split_first() {
            match self.at {
                At::Name | At::Value => {
                    let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let (string, after) = bytes.split_at(left.min(bytes.len()));
                    self.string(string)?;
                    bytes = after;
                    continue;
                }
                At::RequiredInsertCount => self.at = At::Base,
                At::Base => self.prefix(*byte, 7, Then::Base)?,
                At::Line => self.line(*byte)?,
                At::ValueLength => {
                    self.huffman = byte & 0x80 != 0;
                    self.prefix(*byte, 7, Then::ValueLength)?;
                }
                At::Number(then) => {
                    self.number = self.number.saturating_add(u64::from(byte & 0x7f) << self.shift.min(56));
                    self.shift += 7;
                    if byte & 0x80 == 0 {
                        self.number_is(then)?;
                    }
                }
                At::Anything => return Ok(()),
            }
            bytes = rest;
        }
        Ok(())
    }

    fn line(&mut self, byte: u8) -> Result<(), Malformed> {
        match byte {
            // An indexed field line, and a literal one with a name by reference, of the static table.
            0b1100_0000.. => self.prefix(byte, 6, Then::IndexedLine),
            0b0100_0000..0b1000_0000 if byte & 0b1_0000 != 0 => self.prefix(byte, 4, Then::IndexedName),
            0b0010_0000..0b0100_0000 => {
                self.huffman = byte & 0b1000 != 0;
                self.prefix(byte, 3, Then::NameLength)
            }
            // The dynamic table, of which there is none.
            _ => {
                self.at = At::Anything;
                Ok(())
            }
        }
    }

    /// A number with a prefix of so many bits.
    fn prefix(&mut self, byte: u8, bits: u32, then: Then) -> Result<(), Malformed> {
        let most = (1 << bits) - 1;
        (self.number, self.shift) = (u64::from(byte & most), 0);
        if byte & most == most {
            self.at = At::Number(then);
            return Ok(());
        }
        self.number_is(then)
    }

    fn number_is(&mut self, then: Then) -> Result<(), Malformed> {
        match then {
            Then::Base => self.at = At::Line,
            Then::IndexedLine => {
                self.at = At::Line;
                self.name_is(of_static_table(self.number))?;
                if self.is_status {
                    self.is_interim = matches!(self.number, 24 | 63);
                }
            }
            Then::IndexedName => {
                self.at = At::ValueLength;
                self.name_is(of_static_table(self.number))?;
            }
            Then::NameLength => {
                (self.at, self.left, self.name_length) = (At::Name, self.number, 0);
                if self.left == 0 {
                    self.string(&[])?;
                }
            }
            Then::ValueLength => {
                (self.at, self.left) = (At::Value, self.number);
                if self.left == 0 {
                    self.at = At::Line;
                }
            }
        }
        Ok(())
    }

    /// Goes on by a piece of a name or a value.
    fn string(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.at == At::Name {
            for (place, byte) in self.name.iter_mut().skip(self.name_length).zip(piece) {
                *place = *byte;
            }
            self.name_length = self.name_length.saturating_add(piece.len());
            if self.left == 0 {
                self.at = At::ValueLength;
                let name = self.name.get(..self.name_length).unwrap_or_default();
                self.name_is(of_literal(name, self.huffman))?;
            }
            return Ok(());
        }
        if self.is_status {
            self.is_status = false;
            // Digit 1 in five bits (RFC 7541, appendix B).
            self.is_interim = piece.first().is_some_and(|byte| match self.huffman {
                true => byte >> 3 == 1,
                false => *byte == b'1',
            });
        }
        if self.left == 0 {
            self.at = At::Line;
        }
        Ok(())
    }

    fn name_is(&mut self, pseudo: Option<Pseudo>) -> Result<(), Malformed> {
        self.is_status = pseudo == Some(Pseudo::Status);
        let Some(pseudo) = pseudo else {
            self.fields_began = true;
            return Ok(());
        };
        match self.kind {
            Kind::Trailers => return Err(Malformed("there is a pseudo-header field in its trailers")),
            Kind::Request if self.is_status => return Err(Malformed("a request has no `:status`")),
            Kind::Response if !self.is_status => {
                return Err(Malformed("a response has no pseudo-header field but `:status`"));
            }
            _ if self.fields_began => return Err(Malformed("a pseudo-header field comes behind a field")),
            _ if self.seen & pseudo as u8 != 0 => return Err(Malformed("a pseudo-header field comes twice")),
            Kind::Request | Kind::Response => {}
        }
        self.seen |= pseudo as u8;
        Ok(())
    }
}

/// The pseudo-header field of an entry of the static table (RFC 9204, appendix A).
const fn of_static_table(index: u64) -> Option<Pseudo> {
    match index {
        0 => Some(Pseudo::Authority),
        1 => Some(Pseudo::Path),
        15..=21 => Some(Pseudo::Method),
        22 | 23 => Some(Pseudo::Scheme),
        24..=28 | 63..=71 => Some(Pseudo::Status),
        _ => None,
    }
}

/// The pseudo-header field whose name is written out; h3 refuses those that are not known.
fn of_literal(name: &[u8], huffman: bool) -> Option<Pseudo> {
    match (name, huffman) {
        (b":authority", false) | (b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f", true) => Some(Pseudo::Authority),
        (b":method", false) | (b"\xb9\x49\x53\x39\xe4", true) => Some(Pseudo::Method),
        (b":path", false) | (b"\xb9\x58\xd3\x3f", true) => Some(Pseudo::Path),
        (b":scheme", false) | (b"\xb8\x82\x4e\x5a\x4b", true) => Some(Pseudo::Scheme),
        (b":status", false) | (b"\xb8\x84\x8d\x36\xa3", true) => Some(Pseudo::Status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An empty prefix and some lines.
    fn section(lines: &[&[u8]]) -> Vec<u8> {
        [&[0, 0][..], &lines.concat()].concat()
    }

    /// The outcome of a section whose bytes come in pieces of so many.
    fn look(kind: Kind, bytes: &[u8], piece: usize) -> Result<bool, String> {
        let mut section = FieldSection::new(kind);
        bytes.chunks(piece).try_for_each(|piece| section.look(piece)).map_err(|error| error.0.to_owned())?;
        Ok(section.is_interim())
    }

    const METHOD: &[u8] = &[0xd1];
    const SCHEME: &[u8] = &[0xd7];
    const PATH: &[u8] = &[0xc1];
    const AUTHORITY: &[u8] = &[0x50, 1, b'a'];
    /// An entry of the static table that is a field, `accept: */*`.
    const FIELD: &[u8] = &[0xdd];
    const STATUS: &[u8] = &[0xd9];
    /// A name of ten bytes that is a field's, so that its length takes a second byte.
    const LONG_FIELD: &[u8] = b"\x27\x03abcdefghij\x01x";

    #[test]
    fn each_rule_holds_however_the_bytes_come() {
        let request: &[&[u8]] = &[METHOD, SCHEME, PATH, AUTHORITY];
        let with = |last: &[u8]| section(&[&request.concat(), last]);
        for piece in 1..20 {
            for (kind, bytes, expected) in [
                (Kind::Request, section(request), None),
                (Kind::Request, with(FIELD), None),
                (Kind::Request, with(&[FIELD, LONG_FIELD, FIELD].concat()), None),
                (Kind::Request, with(METHOD), Some("twice")),
                (Kind::Request, with(&[0xd2]), Some("twice")),
                (Kind::Request, with(b"\x27\x00:method\x03GET"), Some("twice")),
                (Kind::Request, with(b"\x2d\xb9\x49\x53\x39\xe4\x03GET"), Some("twice")),
                (Kind::Request, with(b"\x27\x03:authority\x01b"), Some("twice")),
                (Kind::Request, with(b"\x2f\x01\xb8\x3b\x53\x39\xec\x32\x7d\x7f\x01b"), Some("twice")),
                (Kind::Request, with(b"\x2c\xb9\x58\xd3\x3f\x01/"), Some("twice")),
                (Kind::Request, with(b"\x2d\xb8\x82\x4e\x5a\x4b\x01a"), Some("twice")),
                (Kind::Request, section(&[METHOD, FIELD, PATH]), Some("behind")),
                (Kind::Request, section(&[METHOD, LONG_FIELD, PATH]), Some("behind")),
                (Kind::Request, with(STATUS), Some("no `:status`")),
                (Kind::Request, with(b"\x2d\xb8\x84\x8d\x36\xa3\x03200"), Some("no `:status`")),
                (Kind::Response, section(&[STATUS, FIELD]), None),
                (Kind::Response, section(&[STATUS, STATUS]), Some("twice")),
                (Kind::Response, section(&[STATUS, PATH]), Some("but `:status`")),
                (Kind::Response, section(&[FIELD, STATUS]), Some("behind")),
                (Kind::Trailers, section(&[FIELD]), None),
                (Kind::Trailers, section(&[FIELD, STATUS]), Some("trailers")),
                (Kind::Trailers, section(&[PATH]), Some("trailers")),
            ] {
                let outcome = look(kind, &bytes, piece);
                let reason = outcome.as_ref().err();
                assert_eq!(
                    reason.is_some(),
                    expected.is_some(),
                    "{bytes:x?} in pieces of {piece}: {outcome:?}"
                );
                assert!(
                    reason.is_none_or(|reason| reason.contains(expected.unwrap_or_default())),
                    "{reason:?}"
                );
            }
        }
    }

    #[test]
    fn an_interim_response_is_known_however_its_status_is_written() {
        for (line, expected) in [
            (&[0xd9][..], false),
            // 103 and 100 of the static table.
            (&[0xd8], true),
            (&[0xff, 0], true),
            (b"\x5f\x09\x03102", true),
            (b"\x5f\x09\x03200", false),
            // "102" and "200" in Huffman's code.
            (b"\x5f\x09\x82\x08\x05", true),
            (b"\x5f\x09\x82\x10\x01", false),
        ] {
            for piece in 1..6 {
                assert_eq!(look(Kind::Response, &section(&[line]), piece), Ok(expected), "{line:x?}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(bytes: Vec<u8>, piece in 1_usize..9) {
            let bytes = section(&[&bytes]);
            for kind in [Kind::Request, Kind::Response, Kind::Trailers] {
                prop_assert_eq!(look(kind, &bytes, piece), look(kind, &bytes, bytes.len()));
            }
        }
    }
}
