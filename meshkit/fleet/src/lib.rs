//! A whole mesh of real processes, each on a host of its own: a network namespace with its own address on one bridge. Hosts are
//! cut off, processes killed, paused and restarted; callers and owners write down what they did, and a checker reads it.
//!
//! Read first: [`Fleet`] is the mesh, [`inside`] the way into namespaces, [`load`] the callers, [`check`] what has to hold.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test support says by panicking that it failed, and on standard output how it went"
)]

mod case;
pub mod check;
mod etcd;
mod fleet;
mod inside;
pub mod load;
mod net;
mod netlink;
mod owner;
mod process;
mod text;

pub use case::{Case, Cost, is_thorough, judge};
pub use fleet::{Fleet, Programs, eventually};
pub use inside::inside;
pub use load::Load;
pub use net::serve as serve_host;
pub use owner::serve as serve_owner;
