//! An issuer's public keys: a JSON Web Key Set (RFC 7517).

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::claims::{Claims, Rules};
use crate::provider;
use crate::refusal::Refusal;
use crate::token::Token;
use crate::verified::Verified;

/// The largest key set that is read, in bytes.
pub const MAX_KEYS_BYTES: usize = 256 << 10;
/// The most keys of a set.
const MAX_KEYS: usize = 64;
/// The most keys that are tried for a token that names none: trying is what a stranger makes us pay for.
const MAX_TRIED: usize = 4;

/// Why a document is no key set to verify with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysError {
    /// It is too large.
    #[error("the key set is above {MAX_KEYS_BYTES} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// It is not `{"keys": [...]}`.
    #[error("it is no JSON Web Key Set: {0}")]
    Malformed(String),
    /// There is no key in it that we could verify with.
    #[error("none of its {0} keys is for signatures by RS256, PS256, ES256 or EdDSA")]
    NoKey(usize),
    /// Two of its keys have one name.
    #[error("two of its keys are called `{0}`")]
    Twice(String),
}

/// An issuer's public keys, those that sign alone.
pub struct KeySet {
    keys: Vec<Key>,
    verified: Verified,
}

struct Key {
    name: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a key set. Keys of other kinds or for other purposes are passed over, as RFC 7517 (section 5) says.
    ///
    /// # Errors
    /// What is no key set, too large, or has no key that could verify anything.
    pub fn parse(document: &[u8]) -> Result<Self, KeysError> {
        if document.len() > MAX_KEYS_BYTES {
            return Err(KeysError::TooLarge);
        }
        let Document { keys: given } =
            serde_json::from_slice(document).map_err(|error| KeysError::Malformed(error.to_string()))?;
        if given.len() > MAX_KEYS {
            return Err(KeysError::TooLarge);
        }
        let count = given.len();
        let keys: Vec<Key> = given.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err(KeysError::NoKey(count));
        }
        for (index, key) in keys.iter().enumerate() {
            let earlier = keys.iter().take(index);
            if let Some(name) = &key.name
                && earlier.clone().any(|earlier| earlier.name.as_ref() == Some(name))
            {
                return Err(KeysError::Twice(name.clone()));
            }
        }
        provider::install();
        Ok(Self { keys, verified: Verified::new() })
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none, which [`parse`](Self::parse) refuses.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies a token: that one of these keys signed it, and that what it says meets the rules; `now` is in seconds
    /// since 1970. A token that was verified before is known by its hash and only its times are looked at.
    ///
    /// # Errors
    /// Why it is not believed; [`Refusal::UnknownKey`] where newer keys may help.
    pub fn verify(&self, token: &Token<'_>, rules: &Rules, now: i64) -> Result<Arc<Claims>, Refusal> {
        let hash = Verified::hash(token.text);
        let claims = match self.verified.get(&hash) {
            Some(claims) => claims,
            None => Arc::new(self.signed(token)?),
        };
        rules.check(&claims, now)?;
        self.verified.put(hash, &claims);
        Ok(claims)
    }

    /// What one of these keys signed.
    fn signed(&self, token: &Token<'_>) -> Result<Claims, Refusal> {
        let mut tried = false;
        for key in self.keys.iter().filter(|key| key.could_have_signed(token)).take(MAX_TRIED) {
            tried = true;
            // Who it is for and until when is looked at by our own rules, with `now` as an argument.
            let mut validation = Validation::new(token.algorithm);
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            match decode(token.text, &key.key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
                Err(_) => return Err(Refusal::Malformed),
            }
        }
        Err(if tried { Refusal::Signature } else { Refusal::UnknownKey })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.name)).finish()
    }
}

impl Key {
    /// A key that verifies signatures; none where it is of another kind or for another purpose.
    fn of(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let purpose =
            common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        if !purpose || operations.is_some_and(|listed| !listed.contains(&KeyOperations::Verify)) {
            return None;
        }
        let algorithms: &'static [Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => {
                match common.key_algorithm.map(|named| named.to_string()).as_deref() {
                    None => &[Algorithm::RS256, Algorithm::PS256],
                    Some("RS256") => &[Algorithm::RS256],
                    Some("PS256") => &[Algorithm::PS256],
                    Some(_) => return None,
                }
            }
            AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            // A shared secret has no place among public keys.
            _ => return None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { name: jwk.common.key_id, algorithms, key })
    }

    /// Whether it is the one that a token names; one without a name may be of any key.
    fn could_have_signed(&self, token: &Token<'_>) -> bool {
        let named = match (&token.key, &self.name) {
            (Some(wanted), Some(name)) => wanted == name,
            (Some(_), None) => false,
            (None, _) => true,
        };
        named && self.algorithms.contains(&token.algorithm)
    }
}
