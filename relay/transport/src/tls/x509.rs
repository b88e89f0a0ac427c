//! The little that is read of a certificate beside its verification: how long it is valid and whom
//! it names. Everything else is webpki's.
//!
//! Source: RFC 5280, section 4.1; X.690 for the encoding. A certificate that cannot be read gives
//! nothing; it never decides whether one is believed.

/// Most characters of a subject that are kept for a log.
const MAX_SUBJECT: usize = 128;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// When a certificate ends, in seconds since 1970.
pub(crate) fn not_after(certificate: &[u8]) -> Option<i64> {
    validity(certificate).map(|(_, end)| end)
}

/// From when until when a certificate in DER is valid, in seconds since 1970; none for what cannot be read.
#[must_use]
pub fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let mut fields = after_issuer(certificate)?;
    let mut validity = expect(&mut fields, SEQUENCE)?;
    Some((time(read(&mut validity)?)?, time(read(&mut validity)?)?))
}

/// The common name of a certificate's subject.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let mut fields = after_issuer(certificate)?;
    let _validity = expect(&mut fields, SEQUENCE)?;
    let mut names = expect(&mut fields, SEQUENCE)?;
    while !names.is_empty() {
        let mut set = expect(&mut names, SET)?;
        let mut attribute = expect(&mut set, SEQUENCE)?;
        let (_object_identifier, kind) = read(&mut attribute)?;
        let (_string, value) = read(&mut attribute)?;
        if kind == COMMON_NAME {
            return Some(String::from_utf8_lossy(value).chars().take(MAX_SUBJECT).collect());
        }
    }
    None
}

fn after_issuer(mut certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = expect(&mut certificate, SEQUENCE)?;
    let mut fields = expect(&mut outer, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        read(&mut fields)?;
    }
    let _serial = read(&mut fields)?;
    let _algorithm = expect(&mut fields, SEQUENCE)?;
    let _issuer = expect(&mut fields, SEQUENCE)?;
    Some(fields)
}

fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, value) = read(input)?;
    (found == tag).then_some(value)
}

/// One tag with its value; lengths of up to three bytes are enough for any certificate.
fn read<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let [tag, first, rest @ ..] = *input else { return None };
    let (length, rest) = match (*first, rest) {
        (short @ 0..=0x7f, rest) => (usize::from(short), rest),
        (0x81, [a, rest @ ..]) => (usize::from(*a), rest),
        (0x82, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        (0x83, [a, b, c, rest @ ..]) => (usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok()?, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some((*tag, value))
}

fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        // RFC 5280, section 4.1.2.5.1: two digits from 50 are of the last century.
        UTC_TIME if text.len() == 12 => {
            let short: i64 = text.get(..2)?.parse().ok()?;
            (if short < 50 { 2000 + short } else { 1900 + short }, text.get(2..)?)
        }
        GENERALIZED_TIME if text.len() == 14 => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days(year, month, day) * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?)
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, whose cycle is 400 years; a year here
/// begins in March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        // date -u -d '2024-02-29 12:34:56' +%s, and so on
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "240229123456Z", Some(1_709_210_096)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (UTC_TIME, "20500101000000Z", None),
            (UTC_TIME, "241301000000Z", None),
            (UTC_TIME, "24010100000Z", None),
            (UTC_TIME, "2401010000éZ", None),
            (GENERALIZED_TIME, "20240101000000", None),
        ] {
            assert_eq!(time((tag, text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_says_when_it_ends_and_whom_it_names() {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2031, 5, 17);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "An organisation");
        params.distinguished_name.push(rcgen::DnType::CommonName, "peer ü");
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        // date -u -d 2031-05-17 +%s
        assert_eq!(not_after(certificate.der()), Some(1_936_742_400));
        assert_eq!(validity(certificate.der()), Some((1_709_164_800, 1_936_742_400)));
        assert_eq!(subject(certificate.der()).as_deref(), Some("peer ü"));
        for end in 0..certificate.der().len() {
            let cut = &certificate.der()[..end];
            assert_eq!((not_after(cut), subject(cut)), (None, None), "a cut certificate gives nothing");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _nothing = (not_after(&bytes), subject(&bytes));
        }
    }
}
