//! What the mesh is made of, and the decisions about it that need no clock, socket or disk.
//!
//! Read first: [`Peer`] and [`Shard`] are the two records everything is about; [`Liveness`] judges
//! a peer by when it was last heard; [`placement`] says which shard a key falls into and which peer
//! a shard belongs to; [`Record`] is what the store keeps. `now` is always an argument: whatever is decided here can be replayed.

mod bootstrap;
mod cluster;
mod config;
mod hold;
mod idempotency;
mod invalid;
mod lease;
pub mod lifecycle;
mod listed;
mod liveness;
mod merge;
mod namespace;
mod peer;
pub mod placement;
mod record;
mod shard;
mod unmet;

pub use bootstrap::{HeldCertificate, Identity, JoinToken, JoinTokenSpec, Joined, Revocation};
pub use cluster::{
    Cluster, ClusterSpec, ClusterState, FailoverMode, FailoverPolicy, Request as ClusterRequest,
    decide as decide_cluster,
};
pub use config::{ConfigDocument, MeshConfig, RegistryTuning};
pub use hold::{DrainProgress, Hold, HoldState, HoldVerb, LabelPatch, effective_labels, patch_labels};
pub use idempotency::IdempotentAnswer;
pub use invalid::Invalid;
pub use lease::{LeaderChange, LeaderScope, LeaderTerm, Lease};
pub use listed::{Field, Listed};
pub use liveness::Liveness;
pub use merge::merge_patch;
pub use namespace::{Handover, Namespace, Strategy};
pub use peer::{Endpoint, Peer, PeerId, PeerProtocol, PeerSpec, PeerStatus};
pub use record::{Fence, Fields, Kind, Record};
pub use shard::{Phase, Shard, ShardStatus, Successor};
pub use unmet::Unmet;

/// A point in time; stored and sent with the precision of a millisecond.
pub use jiff::Timestamp;
