//! What the mesh is made of, and the decisions about it that need no clock, socket or disk.
//!
//! Read first: [`Peer`] and [`Shard`] are the two records everything is about; [`Liveness`] judges
//! a peer by when it was last heard; [`placement`] says which shard a key falls into and which peer
//! a shard belongs to; [`Record`] is what the store keeps. `now` is always an argument: whatever is decided here can be replayed.

mod invalid;
mod liveness;
mod peer;
pub mod placement;
mod record;
mod shard;

pub use invalid::Invalid;
pub use liveness::Liveness;
pub use peer::{Endpoint, Peer, PeerId, PeerProtocol, PeerSpec, PeerStatus};
pub use record::{Fence, Fields, Kind, Record};
pub use shard::{Namespace, Shard, ShardStatus, Strategy};

/// A point in time; stored and sent with the precision of a millisecond.
pub use jiff::Timestamp;
