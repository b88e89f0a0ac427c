//! Why a token is not believed.

use thiserror::Error;

/// Why a token is not believed. Nothing of the token stands in the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is longer than any token that we would read.
    #[error("the token is above {} bytes", crate::MAX_TOKEN_BYTES)]
    TooLong,
    /// It is not a signed token in the compact form.
    #[error("the token is not a JSON Web Token")]
    Malformed,
    /// Its header names `none`, a shared secret, or what we do not know.
    #[error("the token is signed by an algorithm that is not taken")]
    Algorithm,
    /// Its header asks for an extension that has to be understood (RFC 7515, section 4.1.11).
    #[error("the token needs an extension that is not known here")]
    Critical,
    /// No key of the issuer is the one that it names.
    #[error("the token names a key that its issuer does not have")]
    UnknownKey,
    /// Somebody else signed it, or it was changed.
    #[error("the signature of the token does not hold")]
    Signature,
    /// Nobody named its issuer.
    #[error("the issuer of the token is not known here")]
    Issuer,
    /// It is for others.
    #[error("the token is for another audience")]
    Audience,
    /// It says of nobody when it ends, or it has ended.
    #[error("the token has expired")]
    Expired,
    /// It does not say until when it is valid.
    #[error("the token does not say when it expires")]
    NoExpiry,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// It does not say who its holder is, in 1 to 255 printable characters.
    #[error("the token does not say who its holder is")]
    Subject,
}
