//! The development mesh as files: authority, certificates, tokens, configurations and the plan of
//! which process runs with which of them. `dev init` writes them; `up` runs them.

mod authority;
mod files;
mod init;
mod lock;
mod mesh;
mod templates;
mod tokens;

#[cfg(test)]
mod tests;

pub(crate) use init::{DevMesh, prepare};
pub(crate) use mesh::{Component, Hosts, Kind, LAST_PORT};
