//! Calls a service over HTTP/3 first, and over HTTP/2 or HTTP/1.1 where that does not work and
//! the caller allows it; every answer says which it was and why.
//!
//! Read first: [`Channel`].

mod channel;
mod connector;
mod endpoint;
mod error;
mod http2;
mod http3;
mod keep_alive;
mod outgoing;
mod path_memory;
mod pool;
mod race;
mod stall;
mod tcp;

pub use channel::{Channel, ChannelConfig};
pub use endpoint::validate_endpoint;
pub use error::ChannelError;
pub use http3::Sockets;
pub use keep_alive::KeepAlive;
pub use outgoing::{Idempotent, Outgoing};
