//! The mesh: its peers, shards, clusters, configuration and audit, and how its calls are carried.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bootstrap;
mod changing;
pub(crate) mod clusters;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod downgrades;
mod following;
pub(crate) mod leaders;
pub(crate) mod members;
pub(crate) mod namespaces;
pub(crate) mod peers;
mod reading;
pub(crate) mod restore;
pub(crate) mod shards;
pub(crate) mod transport;
pub(crate) mod validate;
