//! HTTP/3: connections to one target, requests on them, and the memory of what did not work.
//!
//! Read first: [`Path`].

mod live;
mod path;
mod send;
mod sockets;
mod watch;

pub(crate) use live::Live;
pub(crate) use path::{Path, PathError};
pub(crate) use send::{SendError, send};
pub use sockets::Sockets;
