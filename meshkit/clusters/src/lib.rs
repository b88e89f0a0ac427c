//! Clusters: which there are and which of them serve, over REST at `/meshkit/clusters` and gRPC
//! `meshkit.v1.ClustersService`, one to one.
//!
//! Read first: [`start`] makes the module; `clusters.rs` decides with the model's rules, `rest.rs`
//! and `grpc.rs` only translate.

mod clusters;
mod grpc;
mod metrics;
mod rest;
mod wire;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use omnirelay_proto::meshkit::v1::clusters_service_server::{ClustersServiceServer, SERVICE_NAME};

use clusters::Clusters;

/// Starts the module: its routes, and its gauges until the drain begins.
#[must_use]
pub fn start(context: &Context) -> Module {
    let clusters = Arc::new(Clusters::new(context));
    metrics::spawn(context);
    let grpc = ClustersServiceServer::new(grpc::Service(Arc::clone(&clusters)));
    let routes = rest::routes(clusters).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "clusters", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
