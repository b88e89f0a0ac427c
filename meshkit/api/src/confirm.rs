//! Two steps for what cannot simply be taken back: a dry run gives a token, and the token lets the
//! very same change happen.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshkit_model::Timestamp;
use meshkit_store::TokenKey;
use relay_core::{Code, Status};
use ring::hmac;
use serde::Serialize;

use crate::change::CONFIRMATION_REQUIRED;

/// For how long a token holds, in seconds.
const LIFETIME: i64 = 300;

/// What the caller of a destructive verb's dry run is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// Sent back, it confirms.
    pub token: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What a token stands for: nothing but this change of this version by this caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) verb: &'a str,
    pub(crate) record: &'a str,
    pub(crate) version: u64,
    pub(crate) actor: &'a str,
    /// The digest of what is asked for.
    pub(crate) fingerprint: &'a str,
}

impl Confirmation {
    pub(crate) fn issue(key: &TokenKey, subject: Subject<'_>, now: Timestamp) -> Self {
        let expires = now.as_second().saturating_add(LIFETIME);
        let mut bytes = expires.to_be_bytes().to_vec();
        bytes.extend(hmac::sign(&signing(key), &signed(subject, expires)).as_ref());
        Self {
            token: URL_SAFE_NO_PAD.encode(bytes),
            expires_at: Timestamp::from_second(expires).unwrap_or(now),
        }
    }

    /// Whether a token confirms a change now. There is nothing to remember: a change that was
    /// carried out has a new version, and the token names the old one.
    pub(crate) fn check(
        key: &TokenKey,
        subject: Subject<'_>,
        token: &str,
        now: Timestamp,
    ) -> Result<(), Status> {
        let needed = |message: String| {
            Err(Status::new(Code::FailedPrecondition, message).with_name(CONFIRMATION_REQUIRED).with_hint(
                "ask for a dry run, look at what it says, and send its confirmation token within 5 min",
            ))
        };
        if token.is_empty() {
            return needed(format!("{} of {} has to be confirmed", subject.verb, subject.record));
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        let Some((expires, tag)) = bytes.split_first_chunk::<8>() else {
            return needed("the confirmation token is not one of this mesh".to_owned());
        };
        let expires = i64::from_be_bytes(*expires);
        if hmac::verify(&signing(key), &signed(subject, expires), tag).is_err() {
            return needed(
                "the confirmation token is not for this change of this version by this caller".to_owned(),
            );
        }
        if now.as_second() >= expires {
            return needed("the confirmation token has expired".to_owned());
        }
        Ok(())
    }
}

fn signing(key: &TokenKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.bytes())
}

/// Every text has its length before it, so that no two subjects look alike.
fn signed(subject: Subject<'_>, expires: i64) -> Vec<u8> {
    let mut bytes = b"omnirelay confirmation 1".to_vec();
    for text in [subject.verb, subject.record, subject.actor, subject.fingerprint] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(subject.version.to_be_bytes());
    bytes.extend(expires.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    const SUBJECT: Subject<'static> =
        Subject { verb: "peer.drain", record: "peer/a", version: 7, actor: "olga", fingerprint: "f" };

    #[test]
    fn a_token_confirms_one_change_by_one_caller_for_a_while() {
        let key = TokenKey::new([7; TokenKey::LEN]);
        let now = Timestamp::from_second(1_000_000).unwrap();
        let token = Confirmation::issue(&key, SUBJECT, now).token;
        let check = |subject, token: &str, at| Confirmation::check(&key, subject, token, at).is_ok();
        assert!(check(SUBJECT, &token, now));
        for other in [
            Subject { verb: "peer.cordon", ..SUBJECT },
            Subject { record: "peer/b", ..SUBJECT },
            Subject { version: 8, ..SUBJECT },
            Subject { actor: "oleg", ..SUBJECT },
            Subject { fingerprint: "g", ..SUBJECT },
        ] {
            assert!(!check(other, &token, now), "{other:?}");
        }
        assert!(!check(SUBJECT, &token, Timestamp::from_second(1_000_300).unwrap()));
        let other = Confirmation::issue(&TokenKey::new([8; TokenKey::LEN]), SUBJECT, now);
        assert!(!check(SUBJECT, &other.token, now));
        for at in 0..token.len() {
            let mut damaged = token.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            assert!(!check(SUBJECT, std::str::from_utf8(&damaged).unwrap(), now), "{at}");
            assert!(!check(SUBJECT, &token[..at], now));
        }
    }
}
