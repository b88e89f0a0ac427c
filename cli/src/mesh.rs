//! Reading the mesh: its peers, its shards, its configuration, how its calls are carried.

mod daemon;
pub(crate) mod downgrades;
pub(crate) mod peers;
mod reading;
pub(crate) mod shards;
pub(crate) mod transport;
pub(crate) mod validate;
