//! A relay's configuration and everything that can be said of it without starting one, so that
//! `omnirelay mesh config validate` needs neither a daemon nor its secrets.
//!
//! Read first: [`RelayConfig`], then [`RelayConfig::check`].

mod check;
mod endpoints;
mod model;
#[cfg(test)]
mod tests;

pub use check::Check;
pub use endpoints::{CONTROL_PLANE, DATA, DIAGNOSTICS, outbound_endpoint};
pub use model::{MeshConfig, NodeConfig, OutboundConfig, RelayConfig, RouteConfig};
