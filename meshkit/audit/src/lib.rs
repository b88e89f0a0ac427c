//! The audit: who did what or was refused, over REST at `/meshkit/audit` and gRPC
//! `meshkit.v1.AuditService`, one to one.
//!
//! Read first: [`start`] makes the module; `entries.rs` reads, `rest.rs` and `grpc.rs` only
//! translate. What is written is the store's business: nothing here can change an entry.

mod entries;
mod grpc;
mod rest;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use omnirelay_proto::meshkit::v1::audit_service_server::{AuditServiceServer, SERVICE_NAME};

use entries::Audit;

/// Starts the module.
#[must_use]
pub fn start(context: &Context) -> Module {
    let audit = Arc::new(Audit::new(context));
    let grpc = AuditServiceServer::new(grpc::Service(Arc::clone(&audit)));
    let routes = rest::routes(audit).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "audit", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
