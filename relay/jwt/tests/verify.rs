//! Tokens that another implementation signed (PyJWT 2.15 over pyca/cryptography), and what nobody may get away with.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use proptest::prelude::*;
use relay_jwt::{Claims, KeySet, KeysError, MAX_TOKEN_BYTES, Refusal, Rules, Token};
use relay_testkit::{TokenKey, key_set};
use serde_json::{Value, json};

const KEYS: &str = r#"{"keys":[{"kty":"RSA","n":"4gMzC0VVjSwMBP1PfEAXJG0C-xaxYjUNZ9sWvSTRpaPXXHb32ldeZxZHwxJpdVDpLBj8BgnqwWbhoD-dIYyxlLgRn9D8kkV6FgZVk7E1uIDoQryK2JEGGjPPUjtyanGCI0DXBkIO52rQ-WURRyGaamIyCO7v2vcMXsaKxKohfOnPYvFNQQcigUY9rCNiL3UkQeMb-nYDW5uvikb8rIgq5WIkJCgVeNWR9ezG8VV9mVVQ3cu4EN1czsUM2mcIIAUoLqqqpC4FKdEfZc5s_eJNZKEm4Zhup38AnYxCUYUjlaEa11aMGRmPLPnMULPlw2kSaIoKT7Xzlpvdbsy6OC0jbw","e":"AQAB","kid":"rsa","use":"sig"},
{"kty":"EC","crv":"P-256","x":"nrHG6pXd2J8_zcfBoGkMa23e-7TDq7ZN_IzYdWEC1Eo","y":"yGb8BfknvGj1Erc_tYnnflvxzvpnQcpvt1Trdl615uI","kid":"ec","use":"sig"},
{"x":"mS0PuP51FlL_UonGoE8nJAS9qwBSYQ1l9GdAA9wno0E","kty":"OKP","crv":"Ed25519","kid":"ed","use":"sig"}]}"#;
const RS256: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjpbIm1lc2h",
    "raXQiLCJvdGhlciJdLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsInN",
    "jb3BlIjoibWVzaC5yZWFkIG1lc2gub3BlcmF0ZSIsImdyb3VwcyI6WyJzcmUiLCJkZXYiXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbImF",
    "kbWluIl19fQ.YaedJ5Z1LhYfTfb5B1LAYVnW012h92vDkAs7-BVhp81gz4plZ_h6HtV1S5SULxBgfBSoAIGilroG6yf7lPwe6JMDZNrkUSyG",
    "QkIFvJeFZI_k-SFwlFExUsp_Ksx_6u7GO1Ljs4QTm1cow8JSHGNoONu-kUoy85skNNPs_8movoYV0yrTpjpSpABAuH9qh5SPJEaPJP1ajgYD",
    "siHUAgw46NK0cogJqfxckP_ObFR1Twgw8PBSSLjT9MQX4xi8oki3s-Cs2o2Cvu01ENRv6ukb-BWg5fCMQeNGiTWeHs550nlPiiSvIX17Sal4",
    "R41RLBpNZt54Kxgj68DkFDIkJzU9ZQ",
);
const PS256: &str = concat!(
    "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjpbIm1lc2h",
    "raXQiLCJvdGhlciJdLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsInN",
    "jb3BlIjoibWVzaC5yZWFkIG1lc2gub3BlcmF0ZSIsImdyb3VwcyI6WyJzcmUiLCJkZXYiXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbImF",
    "kbWluIl19fQ.UI30W6F9ZG6khVcWGcUHk9erB147ThjFZYedzH4gQVRDhXDsTeEW9_SGK-aL2nGhgbbfVEbzXIHp7G5kiYeLIcZm2zB43qug",
    "seqW0P23-NHHu6eaHQzlSCutBXPwEGRBhTw3Tz03r-XREL5ZwW3d4AHPiOExM7_SdAGLRcdE8daOqd66rJMqmBHr5nD-5BsFLocEjfYS1swl",
    "BwroITpHFm-0cxn57IgdvOCqgqnE1OUp5k7iLmVTNImkmQ_n5dKyQF9Xuf2DY3xyxOBe64VbX8w4aNO7VKmYQpVgzfGw2GdWeQSaDO3ablUd",
    "sPDVOt977eNWbNEWP0p7zwnDgOI2Bg",
);
const ES256: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImVjIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjpbIm1lc2hr",
    "aXQiLCJvdGhlciJdLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsInNj",
    "b3BlIjoibWVzaC5yZWFkIG1lc2gub3BlcmF0ZSIsImdyb3VwcyI6WyJzcmUiLCJkZXYiXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbImFk",
    "bWluIl19fQ.2z9PRtl8yaiNts70G_DaPYLbhcCkAgfIjVgW52VoHu6ssvz9APej57yRH5_0UUyB5BRoJRBQR3JKpqwpacsDrA",
);
const EDDSA: &str = concat!(
    "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjpbIm1lc2hr",
    "aXQiLCJvdGhlciJdLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsInNj",
    "b3BlIjoibWVzaC5yZWFkIG1lc2gub3BlcmF0ZSIsImdyb3VwcyI6WyJzcmUiLCJkZXYiXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbImFk",
    "bWluIl19fQ.kS9IfycyTu5sP0NpD7OqGxHdW8hw0HDEF4gm5EGwVHO8s-3rv7cJZyOfqpHF3Dl8izBXgGhhuard44s8GlNnCA",
);
const RS384: &str = concat!(
    "eyJhbGciOiJSUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjpbIm1lc2h",
    "raXQiLCJvdGhlciJdLCJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMCwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsInN",
    "jb3BlIjoibWVzaC5yZWFkIG1lc2gub3BlcmF0ZSIsImdyb3VwcyI6WyJzcmUiLCJkZXYiXSwicmVhbG1fYWNjZXNzIjp7InJvbGVzIjpbImF",
    "kbWluIl19fQ.Om39AR1aWW6b-bUfn_fGukoZYRWYnT4Ym05ZMFgfrHmi725BSw30KERgtje1mKt5jM96aSyZ3AG-xwZ2GsIGOmqkykHxsPKF",
    "d-8qRs8KLlZDIu0PLLkljnKBqTRWRzu54YGXzsf7kW7ZMdAK2urERIRE1daFtNJxpGz9KJnFM9uME-X2LBWAoJz_F4xjTEJvjUMAUfxN8kkg",
    "PiCC4FOz_IRC45HYQQiyhSXJdFbFaa8MOH2C9MNru4WOjW8zOyaEDrGEbozP-i-tIzDruohpCtrZ4g-ZguYwk1N1T0YdgA-xd9qnOQErfLiU",
    "g22J5OKhjpiKsS0UFKPuP5ZScw96rA",
);
/// HS256 with the PEM of the public RSA key as the shared secret.
const CONFUSED: &str = concat!(
    "eyJhbGciOiAiSFMyNTYiLCAia2lkIjogInJzYSJ9.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIudGVzdCIsICJhdWQiOiBbIm1lc2hraXQiLCA",
    "ib3RoZXIiXSwgInN1YiI6ICJhbGljZSIsICJleHAiOiA0MTAyNDQ0ODAwLCAibmJmIjogMTcwMDAwMDAwMCwgImlhdCI6IDE3MDAwMDAwMDA",
    "sICJzY29wZSI6ICJtZXNoLnJlYWQgbWVzaC5vcGVyYXRlIiwgImdyb3VwcyI6IFsic3JlIiwgImRldiJdLCAicmVhbG1fYWNjZXNzIjogeyJ",
    "yb2xlcyI6IFsiYWRtaW4iXX19.RIe2zBtPsa05jQ1S91-AZwoLLc8Sfw8W57MCJH9DE5s",
);

const NOW: i64 = 1_800_000_000;

fn rules() -> Rules {
    Rules { issuer: "https://issuer.test".to_owned(), audiences: vec!["meshkit".to_owned()], skew_s: 30 }
}

fn verify(keys: &str, token: &str, now: i64) -> Result<Claims, Refusal> {
    let token = Token::read(token)?;
    Ok(KeySet::parse(keys.as_bytes()).unwrap().verify(&token, &rules(), now)?.as_ref().clone())
}

fn claims() -> Value {
    json!({ "iss": "https://issuer.test", "aud": "meshkit", "sub": "alice", "exp": NOW + 60 })
}

/// What comes of a token with one claim changed, or taken away.
fn with(claim: &str, value: Value) -> Result<Claims, Refusal> {
    let key = TokenKey::es256("one");
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
        value => claims[claim] = value,
    }
    verify(&key_set(&[&key]), &key.sign(&claims), NOW)
}

#[test]
fn tokens_of_another_implementation_are_believed() {
    for token in [RS256, PS256, ES256, EDDSA] {
        let claims = verify(KEYS, token, NOW).unwrap();
        assert_eq!(claims.subject(), "alice");
        assert_eq!(claims.words("scope").collect::<Vec<_>>(), ["mesh.read", "mesh.operate"]);
        assert_eq!(claims.words("groups").collect::<Vec<_>>(), ["sre", "dev"]);
        assert_eq!(claims.words("realm_access.roles").collect::<Vec<_>>(), ["admin"]);
        assert_eq!(claims.words("exp").count() + claims.words("nothing.here").count(), 0);
    }
    assert_eq!(verify(KEYS, RS384, NOW), Err(Refusal::Algorithm));
}

#[test]
fn a_changed_token_is_not_believed() {
    for token in [RS256, PS256, ES256, EDDSA] {
        let (start, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        let changed = format!("{start}.{flipped}{}", &signature[1..]);
        assert_eq!(verify(KEYS, &changed, NOW), Err(Refusal::Signature));
        assert_eq!(verify(KEYS, &format!("{start}."), NOW), Err(Refusal::Signature));
    }
    // A signature of one token under the claims of another.
    let (start, _) = RS256.rsplit_once('.').unwrap();
    let (_, other) = PS256.rsplit_once('.').unwrap();
    assert_eq!(verify(KEYS, &format!("{start}.{other}"), NOW), Err(Refusal::Signature));
}

#[test]
fn algorithms_are_not_confused() {
    assert_eq!(verify(KEYS, CONFUSED, NOW), Err(Refusal::Algorithm));
    let key = TokenKey::rsa("rsa", "RS256");
    for algorithm in ["none", "None", "HS256", "HS512", "RS512", "ES384", "rs256", ""] {
        let token = key.sign_under(&json!({ "alg": algorithm, "kid": "rsa" }), &claims());
        assert_eq!(verify(&key_set(&[&key]), &token, NOW), Err(Refusal::Algorithm), "{algorithm}");
    }
    // The key is named, and is of another kind than the header says.
    let token = key.sign_under(&json!({ "alg": "ES256", "kid": "rsa" }), &claims());
    assert_eq!(verify(&key_set(&[&key]), &token, NOW), Err(Refusal::UnknownKey));
    // A key that says its algorithm is for no other one.
    let mut jwk = key.jwk();
    jwk["alg"] = "PS256".into();
    let keys = json!({ "keys": [jwk] }).to_string();
    assert_eq!(verify(&keys, &key.sign(&claims()), NOW), Err(Refusal::UnknownKey));
    assert!(verify(&keys, &TokenKey::rsa("rsa", "PS256").sign(&claims()), NOW).is_ok());
    let critical = key.sign_under(&json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"] }), &claims());
    assert_eq!(verify(&key_set(&[&key]), &critical, NOW), Err(Refusal::Critical));
}

#[test]
fn a_key_in_the_header_is_nobodys() {
    let (ours, theirs) = (TokenKey::es256("one"), TokenKey::es256("one"));
    let header =
        json!({ "alg": "ES256", "kid": "one", "jwk": theirs.jwk(), "jku": "https://evil.test/keys" });
    assert_eq!(
        verify(&key_set(&[&ours]), &theirs.sign_under(&header, &claims()), NOW),
        Err(Refusal::Signature)
    );
}

#[test]
fn a_token_without_a_key_name_is_tried_with_a_few_keys() {
    let keys: Vec<TokenKey> = (0..8).map(|number| TokenKey::es256(&number.to_string())).collect();
    let set = key_set(&keys.iter().collect::<Vec<_>>());
    let token = |key: &TokenKey| key.sign_under(&json!({ "alg": "ES256" }), &claims());
    assert!(verify(&set, &token(&keys[3]), NOW).is_ok());
    assert_eq!(verify(&set, &token(&keys[4]), NOW), Err(Refusal::Signature));
}

#[test]
fn claims_have_to_meet_the_rules() {
    assert!(with("nothing", Value::Null).is_ok());
    assert_eq!(with("iss", json!("https://issuer.test/")), Err(Refusal::Issuer));
    for audience in [json!("other"), json!([]), json!(["other", 1]), json!({ "meshkit": 1 }), Value::Null] {
        assert_eq!(with("aud", audience), Err(Refusal::Audience));
    }
    assert!(with("aud", json!(["other", "meshkit"])).is_ok());
    for expiry in [json!("2100-01-01"), json!([1]), json!(true)] {
        assert_eq!(with("exp", expiry), Err(Refusal::Malformed));
    }
    assert_eq!(with("exp", Value::Null), Err(Refusal::NoExpiry));
    assert_eq!(with("exp", json!(NOW - 30)), Err(Refusal::Expired));
    assert_eq!(with("exp", json!(-1e300)), Err(Refusal::Expired));
    assert!(with("exp", json!(NOW - 29)).is_ok(), "clocks differ");
    assert!(with("exp", json!(1e300)).is_ok());
    assert_eq!(with("nbf", json!(NOW + 31)), Err(Refusal::NotYet));
    assert!(with("nbf", json!(NOW + 30)).is_ok());
    assert!(with("nbf", json!(1_800_000_000.5)).is_ok(), "a NumericDate may have a fraction");
    for subject in [json!(""), json!("a b"), json!("a\n"), json!("x".repeat(256)), json!(7), Value::Null] {
        assert_eq!(with("sub", subject), Err(Refusal::Subject));
    }
}

#[test]
fn a_token_that_was_believed_ends_all_the_same() {
    let key = TokenKey::es256("one");
    let keys = KeySet::parse(key_set(&[&key]).as_bytes()).unwrap();
    let text = key.sign(&claims());
    let token = Token::read(&text).unwrap();
    for _ in 0..3 {
        assert!(keys.verify(&token, &rules(), NOW).is_ok());
    }
    assert_eq!(keys.verify(&token, &rules(), NOW + 90), Err(Refusal::Expired));
}

#[test]
fn what_is_no_token_is_refused_before_any_key_is_looked_at() {
    for text in ["", "a", "a.b", "a.b.c", "..", "a.b.c.d.e", "e30.e30.", "bnVsbA.bnVsbA.x", "é.é.é"] {
        assert_eq!(Token::read(text).unwrap_err(), Refusal::Malformed, "{text}");
    }
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(Token::read(&long).unwrap_err(), Refusal::TooLong);
}

#[test]
fn a_key_set_holds_what_verifies_and_passes_over_the_rest() {
    let key = TokenKey::es256("one");
    let of = |keys: Vec<Value>| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
    let others = [
        json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
        json!({ "kty": "new" }),
        json!(7),
    ];
    let mut encrypting = key.jwk();
    encrypting["use"] = "enc".into();
    let mut with_others = others.to_vec();
    with_others.push(key.jwk());
    assert_eq!(of(with_others).unwrap().len(), 1);
    assert_eq!(of(others.to_vec()).unwrap_err(), KeysError::NoKey(5));
    assert_eq!(of(vec![encrypting]).unwrap_err(), KeysError::NoKey(1));
    assert_eq!(of(vec![key.jwk(), key.jwk()]).unwrap_err(), KeysError::Twice("one".to_owned()));
    assert_eq!(of(vec![json!({}); 65]).unwrap_err(), KeysError::TooLarge);
    assert_eq!(KeySet::parse(&vec![b' '; (256 << 10) + 1]).unwrap_err(), KeysError::TooLarge);
    assert!(matches!(KeySet::parse(b"<html>").unwrap_err(), KeysError::Malformed(_)));
}

proptest! {
    #[test]
    fn no_change_of_a_token_is_believed(at in 0_usize..RS256.len(), byte in 0x20_u8..0x7f) {
        let mut changed = RS256.as_bytes().to_vec();
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(verify(KEYS, &changed, NOW).is_err());
    }
}
