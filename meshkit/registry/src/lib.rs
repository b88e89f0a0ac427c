//! The registry: who is in the mesh, over REST at `/meshkit/peers` and gRPC
//! `meshkit.v1.RegistryService`, one to one.
//!
//! Read first: [`start`] makes the module; `registry.rs` and `operate.rs` decide, `rest.rs` and `grpc.rs` only
//! translate, `sweep.rs` notices who fell silent, and `gossip.rs` writes down who gossips.

mod gossip;
mod grpc;
mod metrics;
mod operate;
mod registry;
mod rest;
mod sweep;
mod versions;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use meshkit_api::{Context, Module, Readiness};
use meshkit_membership::Membership;
use meshkit_model::Liveness;
use omnirelay_proto::meshkit::v1::registry_service_server::{RegistryServiceServer, SERVICE_NAME};

use registry::Registry;

/// How the registry judges its peers.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often it wants to hear from a peer.
    pub heartbeat_interval: Duration,
    /// What it makes of silence.
    pub liveness: Liveness,
}

/// Starts the module: its routes, and until the drain begins its sweeper and what writes down who gossips.
#[must_use]
pub fn start(context: &Context, settings: Settings, membership: Option<Membership>) -> Module {
    let registry = Arc::new(Registry::new(context, settings));
    sweep::spawn(Arc::clone(&registry), context.drain.clone());
    if let Some(membership) = membership {
        gossip::spawn(Arc::clone(&registry), membership, context.drain.clone());
    }
    let grpc = RegistryServiceServer::new(grpc::Service(Arc::clone(&registry)));
    let routes = rest::routes(registry).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "registry", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
