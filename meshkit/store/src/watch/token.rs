//! Where a watch stood, as a token that only this store can have made.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshkit_model::Invalid;
use ring::hmac;

use super::{Filter, Position};
use crate::api::Identity;

const VERSION: u8 = 1;
/// Version, store, incarnation, filter, revision, index.
const SIGNED: usize = 1 + 16 + 8 + 8 + 8 + 4;
const SIGNATURE: usize = 32;

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// Go on behind this.
    At(Position),
    /// It is about changes that this store does not know; why, for people.
    Elsewhere(&'static str),
}

pub(super) fn write(identity: &Identity, filter: &Filter, position: Position) -> String {
    let mut bytes = Vec::with_capacity(SIGNED + SIGNATURE);
    bytes.push(VERSION);
    bytes.extend(store(identity));
    bytes.extend(identity.incarnation.to_be_bytes());
    bytes.extend(filter.digest().to_be_bytes());
    bytes.extend(position.revision.to_be_bytes());
    bytes.extend(position.index.to_be_bytes());
    let signature = hmac::sign(&key(identity), &bytes);
    bytes.extend(signature.as_ref());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a token says to this store.
///
/// # Errors
/// [`Invalid`] for one that is not ours, is damaged, or belongs to another filter.
pub(super) fn read(identity: &Identity, filter: &Filter, token: &str) -> Result<Resumed, Invalid> {
    let not_ours = || Invalid::new("resume", "is not a token that a watch gave; begin again without it");
    if token.len() > (SIGNED + SIGNATURE) * 2 {
        return Err(not_ours());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| not_ours())?;
    if bytes.len() != SIGNED + SIGNATURE || bytes.first() != Some(&VERSION) {
        return Err(not_ours());
    }
    let (signed, signature) = bytes.split_at(SIGNED);
    let mut rest = signed.get(1..).unwrap_or_default();
    // A store of its own has a key of its own: nothing that it signed can be checked, or is needed.
    if take::<16>(&mut rest) != store(identity) {
        return Ok(Resumed::Elsewhere("the token is from another store"));
    }
    hmac::verify(&key(identity), signed, signature).map_err(|_| not_ours())?;
    let incarnation = u64::from_be_bytes(take(&mut rest));
    let digest = u64::from_be_bytes(take(&mut rest));
    let revision = u64::from_be_bytes(take(&mut rest));
    let index = u32::from_be_bytes(take(&mut rest));
    if digest != filter.digest() {
        return Err(Invalid::new(
            "resume",
            "belongs to a watch with other filters; keep them as they were or begin again without it",
        ));
    }
    if incarnation != identity.incarnation {
        return Ok(Resumed::Elsewhere("the store was restored from a backup since then"));
    }
    Ok(Resumed::At(Position { revision, index }))
}

fn key(identity: &Identity) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, identity.token_key.bytes())
}

/// The store's id as bytes: what it is made of counts, not how it is written.
fn store(identity: &Identity) -> [u8; 16] {
    u128::from_str_radix(&identity.id, 16).unwrap_or_default().to_be_bytes()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().map_or(([0; N], &[][..]), |(taken, rest)| (*taken, rest));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use meshkit_model::Kind;

    use super::*;
    use crate::api::TokenKey;

    const HERE: Position = Position { revision: 7, index: 3 };

    fn identity() -> Identity {
        Identity { id: "ab".repeat(16), incarnation: 2, token_key: TokenKey::new([5; 32]) }
    }

    #[test]
    fn tokens_come_back() {
        let filter = Filter::of([Kind::Peer]);
        let token = write(&identity(), &filter, HERE);
        assert_eq!(read(&identity(), &filter, &token).unwrap(), Resumed::At(HERE));
        let restored = Identity { incarnation: 3, ..identity() };
        assert!(matches!(read(&restored, &filter, &token).unwrap(), Resumed::Elsewhere(_)));
        let other = Identity { id: "cd".repeat(16), ..identity() };
        assert!(matches!(read(&other, &filter, &token).unwrap(), Resumed::Elsewhere(_)));
    }

    #[test]
    fn what_was_not_signed_for_this_is_refused() {
        let filter = Filter::of([Kind::Peer]);
        let token = write(&identity(), &filter, HERE);
        for other in [
            Filter::of([Kind::Shard]),
            Filter::of([Kind::Peer, Kind::Shard]),
            Filter::of([Kind::Peer]).prefix("a"),
            Filter::of([Kind::Peer]).field("role", "relay"),
        ] {
            let refused = read(&identity(), &other, &token).unwrap_err();
            assert!(refused.to_string().contains("other filters"), "{refused}");
        }
        let forged = Identity { token_key: TokenKey::new([6; 32]), ..identity() };
        assert!(read(&identity(), &filter, &write(&forged, &filter, HERE)).is_err());
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let damaged = URL_SAFE_NO_PAD.encode(damaged);
            // The id alone is not secret: a token of another store asks for nothing.
            let outcome = read(&identity(), &filter, &damaged);
            assert!(!matches!(outcome, Ok(Resumed::At(_))), "byte {at}");
        }
        for odd in ["", "x", "ü", &token[1..], &"A".repeat(10_000)] {
            assert!(read(&identity(), &filter, odd).is_err());
        }
    }
}
