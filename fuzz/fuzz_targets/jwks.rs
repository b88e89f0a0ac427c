//! Key sets of issuers.

use relay_jwt::{KeySet, MAX_KEYS_BYTES, Rules, Token};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "jwks",
    run,
    words: &[
        "{\"keys\":[",
        "]}",
        "\"kty\":",
        "\"RSA\"",
        "\"EC\"",
        "\"OKP\"",
        "\"oct\"",
        "\"crv\":",
        "\"P-256\"",
        "\"Ed25519\"",
        "\"kid\":",
        "\"use\":",
        "\"sig\"",
        "\"enc\"",
        "\"alg\":",
        "\"n\":",
        "\"e\":\"AQAB\"",
        "\"x\":",
        "\"y\":",
        "\"k\":",
        ",",
        "null",
        "\"\"",
        "{}",
        "[]",
    ],
};

/// A token of every algorithm that nobody signed.
const TOKENS: [&str; 4] = [
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0.AAAA",
    "eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiJpIn0.AAAA",
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpIn0.AAAA",
    "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJpIn0.AAAA",
];

fn run(data: &[u8]) {
    let Ok(keys) = KeySet::parse(data) else { return };
    assert!(!keys.is_empty() && keys.len() <= 64 && data.len() <= MAX_KEYS_BYTES);
    let rules = Rules { issuer: "i".to_owned(), audiences: vec!["a".to_owned()], skew_s: 0 };
    for token in TOKENS {
        // Whatever the key is made of, it verifies nothing that it did not sign.
        let believed = Token::read(token).and_then(|token| keys.verify(&token, &rules, 0));
        assert!(believed.is_err(), "{token}");
    }
}
