//! Shards: finding who owns a key, and owning some.
//!
//! Read first: [`ShardMap`] answers from memory who owns what, [`ShardHost`] keeps a process's own shards in step with
//! the control plane; [`HostCore`] is the host's decisions without clock or network.

mod calls;
mod core;
mod host;
mod key;
mod map;
mod owner;

pub use calls::{AssignShard, ShardMessages, Simulation};
pub use core::{Action, HostCore, Place};
pub use host::{Entered, NotOwner, ShardHost};
pub use key::{hash, shard_of_key};
pub use map::{Located, MapError, ShardMap};
pub use owner::ShardOwner;
