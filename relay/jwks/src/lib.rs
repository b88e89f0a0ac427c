//! Keeps the keys of the issuers that a daemon believes: read from a file or an `https` URL at an interval, at once where a
//! token names a key that is not known, and never given up because they could not be read.
//!
//! Read first: [`Keeper`]. When keys are read is decided by `relay_jwt::Refresh`.

mod keeper;
mod source;
mod stats;

pub use keeper::{Keeper, Prepared};
