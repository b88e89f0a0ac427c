//! The relay: calls come in over any protocol and go out over any other.
//!
//! Read first: [`relay::start`] composes `relayd`.

mod access;
mod admin;
mod channels;
mod faults;
mod mesh_carrier;
mod outbound;
mod proxy;
mod registration;
pub mod relay;
mod reload;
mod routing;
mod trace;
