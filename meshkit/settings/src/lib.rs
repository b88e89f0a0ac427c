//! The mesh's configuration: one document with its history, over REST at `/meshkit/config` and gRPC
//! `meshkit.v1.ConfigService`, one to one.
//!
//! Read first: [`start`] makes the module; `document.rs` decides, `rest.rs` and `grpc.rs` only
//! translate. What each node is started with is `meshkit-config`'s business, not this one's.

mod document;
mod grpc;
mod rest;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use omnirelay_proto::meshkit::v1::config_service_server::{ConfigServiceServer, SERVICE_NAME};

use document::Settings;

/// Starts the module.
#[must_use]
pub fn start(context: &Context) -> Module {
    let settings = Arc::new(Settings::new(context));
    let grpc = ConfigServiceServer::new(grpc::Service(Arc::clone(&settings)));
    let routes = rest::routes(settings).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "config", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
