//! Serves any tower service over HTTP/1.1, HTTP/2 and HTTP/3 from one listener, with everything
//! that a stranger can send bounded. In networks over TLS 1.3 only; in the clear at socket files
//! and, where that is asked for, at loopback addresses.
//!
//! Read first: [`Listener`] binds and serves, [`Body`] is the body of every message, [`auth`]
//! decides who may, [`respond`] writes every error. [`quic`] is the seam between quinn and h3,
//! `workers` spreads QUIC over cores, [`tls`] follows certificate files.

mod address;
mod admission;
pub mod auth;
mod bind;
pub mod body;
mod compress;
mod conn_info;
pub mod datagram;
mod date;
mod endpoint;
mod ends;
mod exchange;
#[cfg(unix)]
mod heirloom;
mod http;
mod http1;
mod http3;
mod http3_answer;
mod leftover;
mod limits;
mod listener;
mod places;
pub mod proxy_protocol;
pub mod quic;
mod rate;
mod reconfigure;
mod replay;
mod request_body;
mod reset;
pub mod respond;
mod response_body;
mod seldom;
mod serve;
mod socket;
pub mod spare;
mod stats;
mod tcp;
pub mod tls;
mod turn;
#[cfg(unix)]
mod unix;
mod workers;

pub use address::ListenAddress;
pub use body::{Body, BoxError};
pub use compress::CompressionConfig;
pub use conn_info::{ConnInfo, LocalPeer, PeerIdentity, RemoteAddress};
pub use limits::Limits;
pub use listener::{Listener, ListenerConfig, SocketMode};
pub use proxy_protocol::{Network, ProxyProtocolConfig};
pub use reconfigure::{ListenerControl, StagedListener};
pub use reset::{Http2Incoming, Reset};
pub use seldom::Seldom;
pub use stats::ListenerStats;
pub use turn::in_turn;
