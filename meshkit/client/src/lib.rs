//! MeshKit's SDK: typed calls over HTTP/3 first, with the negotiated protocol on every answer.
//!
//! Read first: [`MeshClient`] makes the calls; [`Registration`] keeps a peer registered for as
//! long as its process lives; [`Identity`] keeps the certificate that it shows. [`ShardMap`] tells who owns what,
//! [`ShardHost`] owns some of it.
//!
//! It stands on the contracts and on [`relay_client::Channel`] alone, so whatever it does another
//! language can do with the `.proto` files.

mod backup;
mod bootstrap;
mod change;
mod client;
mod credentials;
mod error;
mod failover;
mod govern;
mod identity;
mod leaders;
mod members;
mod operate;
mod pages;
mod registration;
mod shards;
mod watch;
mod wire;

pub use backup::Backup;
pub use bootstrap::IssuedToken;
pub use change::{Change, Changed, Seen};
pub use client::{Answer, MeshClient, PeerFilter, ShardFilter};
pub use credentials::Credentials;
pub use error::MeshError;
pub use failover::Failover;
pub use govern::ClusterFilter;
pub use identity::{Identity, NewKey};
pub use leaders::LeaderWatch;
pub use pages::{PeerPages, ShardPages};
pub use registration::{Registration, RegistrationHandle, RegistrationState};
pub use shards::{
    Action, AssignShard, Entered, HostCore, Located, MapError, NotOwner, Place, ShardHost, ShardMap,
    ShardMessages, ShardOwner, Simulation, hash, shard_of_key,
};
pub use watch::{ClusterChange, ClusterWatch, Followed, MemberChange, MemberWatch, PeerChange, PeerWatch};
pub use wire::{Carrier, Sending, Uncarried};

/// The records and requests, as the contracts define them.
pub use omnirelay_proto::meshkit::v1;
