//! Which protocols and encodings an endpoint may use: rules by category, immutable defaults, and
//! exceptions that name who approved them and when they end.
//!
//! It has no clock and touches nothing: `now` is an argument. Read first: [`Policy::evaluate`]
//! says what is allowed, [`Policy::compile`] makes a table of it for the data path,
//! [`Policy::report`] judges a configuration and [`compare`] what a change of it costs.

mod compare;
mod compiled;
mod config;
mod endpoint;
mod evaluate;
mod index;
mod report;
mod soundness;
#[cfg(test)]
mod tests;
mod wire;

pub use compare::{Change, RouteUse, Side, compare};
pub use compiled::{Compiled, Decision, Granted};
pub use config::{CategoryRule, Exception, PolicyConfig};
pub use endpoint::Endpoint;
pub use evaluate::{Policy, Verdict};
pub use report::{Finding, Report};
pub use wire::{Protocols, Style, Transport, Wire};
