//! Serves any tower service over HTTP/1.1, HTTP/2 and HTTP/3 from one listener, over TLS 1.3 only,
//! with everything that a stranger can send bounded.
//!
//! Read first: [`Listener`] binds and serves, [`Body`] is the body of every message, [`auth`]
//! decides who may, [`respond`] writes every error. [`quic`] is the seam between quinn and h3.

pub mod auth;
pub mod body;
mod conn_info;
mod http3;
mod limits;
mod listener;
pub mod quic;
pub mod respond;
mod serve;
mod stats;
mod tcp;
pub mod tls;

pub use body::{Body, BoxError};
pub use conn_info::{ConnInfo, PeerIdentity};
pub use limits::Limits;
pub use listener::{Listener, ListenerConfig};
pub use stats::ListenerStats;
