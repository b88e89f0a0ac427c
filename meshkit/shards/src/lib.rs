//! Shards: who owns what, over REST at `/meshkit/shards` and gRPC `meshkit.v1.ShardsService`, one
//! to one, and the reconciler that gives every shard an owner.
//!
//! Read first: [`plan`] decides without clock or disk; `reconcile.rs` carries plans out whenever
//! membership changes. The module knows peers from the store alone, not from the registry.

mod grpc;
mod metrics;
pub mod plan;
mod reconcile;
mod rest;
mod shards;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use meshkit_model::Namespace;
use omnirelay_proto::meshkit::v1::shards_service_server::{SERVICE_NAME, ShardsServiceServer};
use omnirelay_runtime::OperatorError;

use shards::Shards;

/// What the module is to keep.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The namespaces of the configuration, validated. Those that the store holds besides are kept.
    pub namespaces: Vec<Namespace>,
}

/// Starts the module: writes the namespaces down, then serves and reconciles until the drain begins.
///
/// # Errors
/// A namespace whose shard count differs from the stored one: keys hash over it, so it is fixed.
pub async fn start(context: &Context, settings: Settings) -> Result<Module, OperatorError> {
    reconcile::declare(&context.view, &settings.namespaces).await?;
    let readiness = Readiness::not_yet("shards are not assigned yet");
    let metrics = metrics::ShardsMetrics::new(&context.metrics);
    reconcile::spawn(context.view.clone(), metrics, readiness.clone(), context.drain.clone());
    let shards = Arc::new(Shards::new(context));
    let grpc = ShardsServiceServer::new(grpc::Service(Arc::clone(&shards)));
    let routes = rest::routes(shards).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Ok(Module { name: "shards", routes, readiness })
}
