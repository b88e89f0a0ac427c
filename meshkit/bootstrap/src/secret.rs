//! The secret of a join token: made here, shown once, kept as a digest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use meshkit_store::TokenKey;
use relay_core::Status;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// What every token begins with, so that one is known where it lies about.
const PREFIX: &str = "omj1";
/// 256 bits: nothing to guess.
const SECRET_BYTES: usize = 32;
const ID_BYTES: usize = 8;
/// The longest text that is looked at.
const MAX_TEXT: usize = 128;

/// A join token with its secret. It shows nothing of that by itself.
pub(crate) struct Secret {
    pub(crate) id: String,
    bytes: Vec<u8>,
}

impl Secret {
    /// A new one under this id.
    pub(crate) fn new(id: String) -> Result<Self, Status> {
        let mut bytes = vec![0; SECRET_BYTES];
        random(&mut bytes)?;
        Ok(Self { id, bytes })
    }

    /// An id for a token. Where the request has a name, the same request gets the same one.
    pub(crate) fn id_for(key: &TokenKey, caller: &str, idempotency_key: &str) -> Result<String, Status> {
        let mut id = [0; ID_BYTES];
        if idempotency_key.is_empty() {
            random(&mut id)?;
            return Ok(HEXLOWER.encode(&id));
        }
        let tag =
            hmac::sign(&signing(key), &message(b"omnirelay join token id 1", &[caller, idempotency_key]));
        Ok(HEXLOWER.encode(tag.as_ref().get(..ID_BYTES).unwrap_or_default()))
    }

    /// The token that a request shows as its bearer token.
    pub(crate) fn shown(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Self::parse(token.trim())
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('.')?.split_once('.')?;
        let is_id =
            id.len() == 2 * ID_BYTES && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let bytes = URL_SAFE_NO_PAD.decode(secret).ok()?;
        (is_id && bytes.len() == SECRET_BYTES).then(|| Self { id: id.to_owned(), bytes })
    }

    /// The token as its holder gets it, this once.
    pub(crate) fn text(&self) -> String {
        format!("{PREFIX}.{}.{}", self.id, URL_SAFE_NO_PAD.encode(&self.bytes))
    }

    /// What is kept of it.
    pub(crate) fn digest(&self, key: &TokenKey) -> String {
        HEXLOWER.encode(hmac::sign(&signing(key), &self.signed()).as_ref())
    }

    /// Whether this is what was kept; takes as long whatever is off.
    pub(crate) fn matches(&self, key: &TokenKey, digest: &str) -> bool {
        let tag = HEXLOWER_PERMISSIVE.decode(digest.as_bytes()).unwrap_or_default();
        hmac::verify(&signing(key), &self.signed(), &tag).is_ok()
    }

    fn signed(&self) -> Vec<u8> {
        let mut signed = message(b"omnirelay join token 1", &[&self.id]);
        signed.extend_from_slice(&self.bytes);
        signed
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Fills bytes with what nobody can guess.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), Status> {
    SystemRandom::new().fill(bytes).map_err(|_| Status::internal("the system gives no random bytes"))
}

fn signing(key: &TokenKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.bytes())
}

/// Every text has its length before it, so that no two messages look alike.
fn message(what: &[u8], texts: &[&str]) -> Vec<u8> {
    let mut bytes = what.to_vec();
    for text in texts {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest_and_no_other_is() {
        let key = TokenKey::new([7; TokenKey::LEN]);
        let secret = Secret::new("0123456789abcdef".into()).unwrap();
        let (text, digest) = (secret.text(), secret.digest(&key));
        assert_eq!(text.len(), 65);
        assert!(
            !digest.contains(text.rsplit('.').next().unwrap())
                && !format!("{secret:?}").contains(&text[22..])
        );
        assert!(Secret::parse(&text).unwrap().matches(&key, &digest));
        assert!(!Secret::parse(&text).unwrap().matches(&TokenKey::new([8; TokenKey::LEN]), &digest));
        assert!(!Secret::parse(&text).unwrap().matches(&key, "not a digest"));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'a' { b'b' } else { b'a' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(Secret::parse(&damaged).is_none_or(|other| !other.matches(&key, &digest)), "{damaged}");
            assert!(Secret::parse(&text[..at]).is_none());
        }
    }

    #[test]
    fn a_request_with_a_name_gets_one_id() {
        let key = TokenKey::new([7; TokenKey::LEN]);
        let id = |caller: &str, name: &str| Secret::id_for(&key, caller, name).unwrap();
        assert_eq!(id("olga", "k"), id("olga", "k"));
        assert_ne!(id("olga", "k"), id("oleg", "k"));
        assert_ne!(id("olga", ""), id("olga", ""));
        assert_eq!(id("olga", "").len(), 16);
    }
}
