//! Reading the mesh: its peers, its shards, its configuration.

pub(crate) mod peers;
mod reading;
pub(crate) mod shards;
pub(crate) mod validate;
