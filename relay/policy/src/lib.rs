//! Which protocols and encodings an endpoint may use: rules by category, immutable defaults, and
//! exceptions that name who approved them and when they end.
//!
//! It has no clock and touches nothing: `now` is an argument. Read first: [`Policy::evaluate`].

mod config;
mod evaluate;
#[cfg(test)]
mod tests;

pub use config::{CategoryRule, Exception, PolicyConfig};
pub use evaluate::{Endpoint, Finding, Policy, Report, Verdict};
