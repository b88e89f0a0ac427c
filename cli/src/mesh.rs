//! Reading the mesh: its peers, its shards, its configuration.

pub(crate) mod validate;
