//! Where the next page of a listing begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshkit_model::Invalid;
use meshkit_model::placement::hash;

/// The position after a page, tied to the filter that the listing began with.
///
/// As a token it is opaque to clients. It grants nothing: a forged one names another position in a
/// listing that its bearer may read anyway, so a checksum against accidents is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    filter: u64,
    position: String,
}

impl Cursor {
    const VERSION: u8 = 1;
    const MAX_TOKEN: usize = 512;

    /// A cursor after `position` in the listing that `filter` describes in any unique spelling.
    pub fn new(filter: &str, position: impl Into<String>) -> Self {
        Self { filter: hash(filter.as_bytes()), position: position.into() }
    }

    /// The cursor as an opaque token of `[A-Za-z0-9_-]`.
    #[must_use]
    pub fn token(&self) -> String {
        let mut bytes = vec![Self::VERSION];
        bytes.extend(self.filter.to_be_bytes());
        bytes.extend(hash(self.position.as_bytes()).to_be_bytes());
        bytes.extend(self.position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that a token stands for in the listing that `filter` describes.
    ///
    /// # Errors
    /// [`Invalid`] for a token that is not ours, is damaged, or belongs to another filter.
    pub fn position(token: &str, filter: &str) -> Result<String, Invalid> {
        let not_ours = || Invalid::new("cursor", "is not one that this listing gave; begin again without it");
        if token.len() > Self::MAX_TOKEN {
            return Err(not_ours());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| not_ours())?;
        let (&[version], rest) = bytes.split_first_chunk().ok_or_else(not_ours)?;
        let (token_filter, rest) = rest.split_first_chunk().ok_or_else(not_ours)?;
        let (checksum, position) = rest.split_first_chunk().ok_or_else(not_ours)?;
        if version != Self::VERSION || u64::from_be_bytes(*checksum) != hash(position) {
            return Err(not_ours());
        }
        if u64::from_be_bytes(*token_filter) != hash(filter.as_bytes()) {
            return Err(Invalid::new(
                "cursor",
                "belongs to a listing with other filters; keep them as they were or begin again without it",
            ));
        }
        String::from_utf8(position.to_vec()).map_err(|_| not_ours())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn tokens_come_back() {
        let token = Cursor::new("role=relay", "relay-1").token();
        assert_eq!(Cursor::position(&token, "role=relay").unwrap(), "relay-1");
    }

    #[test]
    fn other_filters_and_damage_are_refused() {
        let token = Cursor::new("role=relay", "relay-1").token();
        assert!(Cursor::position(&token, "role=service").is_err());
        for at in 0..token.len() {
            let mut damaged = token.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(Cursor::position(&damaged, "role=relay").is_err(), "{damaged}");
            assert!(Cursor::position(&token[..at], "role=relay").is_err());
        }
        assert!(Cursor::position(&"A".repeat(513), "").is_err());
        assert!(Cursor::position("ü", "").is_err());
    }
}
