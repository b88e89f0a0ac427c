//! The relay: calls come in over any protocol and go out over any other; and a dispatcher for
//! programs that answer calls themselves.
//!
//! Read first: [`relay::start`] composes `relayd`, [`dispatch::Dispatcher`] serves procedures.

mod admin;
mod channels;
pub mod dispatch;
mod mesh_carrier;
mod outbound;
mod proxy;
mod registration;
pub mod relay;
mod router;
