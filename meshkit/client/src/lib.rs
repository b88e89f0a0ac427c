//! MeshKit's SDK: typed calls over HTTP/3 first, with the negotiated protocol on every answer.
//!
//! Read first: [`MeshClient`] makes the calls; [`Registration`] keeps a peer registered for as
//! long as its process lives.
//!
//! It stands on the contracts and on [`relay_client::Channel`] alone, so whatever it does another
//! language can do with the `.proto` files.

mod change;
mod client;
mod credentials;
mod error;
mod govern;
mod leaders;
mod operate;
mod pages;
mod registration;
mod watch;
mod wire;

pub use change::{Change, Changed, Seen};
pub use client::{Answer, MeshClient, PeerFilter, ShardFilter};
pub use credentials::Credentials;
pub use error::MeshError;
pub use govern::ClusterFilter;
pub use leaders::LeaderWatch;
pub use pages::{PeerPages, ShardPages};
pub use registration::{Registration, RegistrationHandle, RegistrationState};
pub use watch::{PeerChange, PeerWatch};
pub use wire::{Carrier, Sending};

/// The records and requests, as the contracts define them.
pub use omnirelay_proto::meshkit::v1;
