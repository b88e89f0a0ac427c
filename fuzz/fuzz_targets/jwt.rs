//! Bearer tokens: none of these was signed by the key that is known here, so none may be believed.

use std::sync::LazyLock;

use relay_jwt::{KeySet, MAX_TOKEN_BYTES, Refusal, Rules, Token};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "jwt",
    run,
    words: &[
        ".",
        "..",
        "=",
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6Im9uZSJ9",
        "eyJhbGciOiJFZERTQSIsImtpZCI6Im9uZSJ9",
        "eyJpc3MiOiJpIn0",
        "eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6InMiLCJleHAiOjQxMDI0NDQ4MDB9",
        "bnVsbA",
        "W10",
    ],
};

/// The public key of RFC 8037, appendix A.2, under another name.
const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

static SET: LazyLock<Option<KeySet>> = LazyLock::new(|| KeySet::parse(KEYS).ok());

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let token = match Token::read(text) {
        Ok(token) => token,
        Err(refusal) => {
            assert_eq!(refusal == Refusal::TooLong, text.len() > MAX_TOKEN_BYTES);
            return;
        }
    };
    let rules = Rules { issuer: "i".to_owned(), audiences: vec!["a".to_owned()], skew_s: 300 };
    let keys = SET.as_ref();
    assert!(keys.is_some(), "the key is one");
    let believed = keys.map(|keys| keys.verify(&token, &rules, 1_800_000_000));
    assert!(!matches!(believed, Some(Ok(_))), "nobody signed {text:?}");
}
