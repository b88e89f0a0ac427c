//! What the relay decides without touching a socket or a clock: status codes, protocol and
//! encoding names, YARPC headers, deadlines and scopes.
//!
//! Read first: [`Status`] is the error model of every call, [`RpcMeta`] is what a request says
//! about itself.

mod code;
mod deadline;
pub mod fault;
pub mod headers;
pub mod introspect;
mod meta;
pub mod observe;
mod protocol;
mod scope;
mod status;

pub use code::{Code, UnknownCode};
pub use deadline::{RefusedDeadline, format_grpc_timeout, parse_grpc_timeout, parse_ttl_ms, timeout};
pub use meta::{RpcMeta, RpcStyle};
pub use protocol::{DowngradeReason, Encoding, Negotiated, Protocol, UnknownName};
pub use scope::Scope;
pub use status::Status;
