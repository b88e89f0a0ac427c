//! Bearer tokens that an issuer signed: JSON Web Tokens (RFC 7519) whose signatures (RFC 7515) are checked against
//! the issuer's public keys (RFC 7517), as RFC 8725 asks for it. It opens no file, no socket and no clock.
//!
//! Read first: [`Token::read`] is what a stranger sent, [`KeySet`] what the issuer's keys are,
//! [`KeySet::verify`] brings the two together, and [`Claims`] is what was signed.

mod claims;
mod keys;
mod provider;
mod refresh;
mod refusal;
mod token;
mod verified;

pub use claims::{Claims, Rules};
pub use keys::{KeySet, KeysError, MAX_KEYS_BYTES};
pub use refresh::{Asked, Refresh};
pub use refusal::Refusal;
pub use token::{MAX_TOKEN_BYTES, Token};
