//! Copies of the whole store, taken while it serves: REST at `/meshkit/backup` and gRPC
//! `meshkit.v1.BackupService`, one to one.
//!
//! Read first: [`start`] makes the module; `copies.rs` takes a copy and reads it, `rest.rs` and `grpc.rs` only
//! translate. A copy is restored where no meshkitd runs: `meshkitd restore`.

mod copies;
mod grpc;
mod rest;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use omnirelay_proto::meshkit::v1::backup_service_server::{BackupServiceServer, SERVICE_NAME};

use copies::Copies;

/// Starts the module.
#[must_use]
pub fn start(context: &Context) -> Module {
    let copies = Arc::new(Copies::new(context));
    let grpc = BackupServiceServer::new(grpc::Service(Arc::clone(&copies)));
    let routes = rest::routes(copies).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "backup", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
