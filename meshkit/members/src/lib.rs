//! Who gossips: members and what becomes of them, over REST at `/meshkit/members` and gRPC
//! `meshkit.v1.MembersService`, one to one.
//!
//! Read first: [`start`] makes the module; `members.rs` shows what the membership knows, `feed.rs` makes
//! events of its changes, `rest.rs` and `grpc.rs` only translate.

mod feed;
mod grpc;
mod members;
mod rest;
mod wire;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use meshkit_membership::Membership;
use omnirelay_proto::meshkit::v1::members_service_server::{MembersServiceServer, SERVICE_NAME};

use members::Members;

/// Starts the module: its routes. Without a membership they say that there is none.
#[must_use]
pub fn start(context: &Context, membership: Option<Membership>) -> Module {
    let members = Arc::new(Members { gate: context.gate.clone(), membership });
    let grpc = MembersServiceServer::new(grpc::Service(Arc::clone(&members)));
    let routes = rest::routes(members).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "members", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
