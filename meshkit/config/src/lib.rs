//! MeshKit's configuration and everything that can be said of it without starting it, so that
//! `omnirelay mesh config validate` needs neither a daemon nor its secrets.
//!
//! Read first: [`MeshkitConfig`], then [`MeshkitConfig::check`].

mod bootstrap;
mod check;
mod membership;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use bootstrap::BootstrapConfig;
pub use check::{Check, GRPC, REST};
pub use membership::MembershipConfig;
pub use model::{
    LeadershipConfig, MeshkitConfig, ModuleName, NamespaceConfig, NodeConfig, RegistryConfig, ShardsConfig,
    StoreBackend, StoreConfig,
};
