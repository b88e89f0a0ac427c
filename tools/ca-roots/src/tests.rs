#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use super::write_pem;

#[test]
fn lines_are_64_characters_long() {
    let mut out = Vec::new();
    write_pem(&mut out, [&[0u8; 50][..], &[1u8; 1][..]].into_iter()).unwrap();
    let zeros = "A".repeat(64);
    let expected = format!(
        "-----BEGIN CERTIFICATE-----\n{zeros}\nAAA=\n-----END CERTIFICATE-----\n\
         -----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
