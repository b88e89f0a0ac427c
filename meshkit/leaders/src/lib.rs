//! Who leads: leases and what becomes of them, over REST at `/meshkit/leaders` and gRPC
//! `meshkit.v1.LeadersService`, one to one.
//!
//! Read first: [`start`] makes the module; `leaders.rs` reads leases and asks leaders to resign,
//! `feed.rs` makes events of the store's changes and of the time that passes, `rest.rs` and
//! `grpc.rs` only translate.

mod feed;
mod grpc;
mod leaders;
mod rest;
mod wire;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use omnirelay_proto::meshkit::v1::leaders_service_server::{LeadersServiceServer, SERVICE_NAME};

use leaders::Leaders;

/// Starts the module: its routes. Nodes campaign whether it runs or not.
#[must_use]
pub fn start(context: &Context) -> Module {
    let leaders = Arc::new(Leaders::new(context));
    let grpc = LeadersServiceServer::new(grpc::Service(Arc::clone(&leaders)));
    let routes = rest::routes(leaders).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "leaders", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
