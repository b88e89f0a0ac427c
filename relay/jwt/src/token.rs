//! A token as it came, read and not yet believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, decode_header};
use serde::Deserialize;

use crate::refusal::Refusal;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// A token that was read and is not believed yet.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: Option<String>,
    issuer: String,
}

/// The one claim that is looked at before anything is verified: it says whose keys to verify with.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl<'a> Token<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// What is too long, no JSON Web Token, or signed in a manner that is never taken: `none` and shared secrets are
    /// refused here, before any key is looked at.
    pub fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let claimed: Claimed = json(payload)?;
        let header = match decode_header(text) {
            Ok(header) => header,
            Err(_) if has_algorithm(header) => return Err(Refusal::Algorithm),
            Err(_) => return Err(Refusal::Malformed),
        };
        let is_taken = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
        if !is_taken.contains(&header.alg) {
            return Err(Refusal::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        Ok(Self { text, algorithm: header.alg, key: header.kid, issuer: claimed.iss })
    }

    /// Who issued it, as it says itself.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Whether a header that could not be read is one all the same, with an algorithm that we do not know.
fn has_algorithm(header: &str) -> bool {
    #[derive(Deserialize)]
    struct Named {
        alg: String,
    }
    json::<Named>(header).is_ok_and(|named| named.alg.parse::<Algorithm>().is_err())
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}
