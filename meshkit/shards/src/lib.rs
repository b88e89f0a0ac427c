//! Shards: what is cut into them and who owns what, over REST at `/meshkit/namespaces` and `/meshkit/shards` and gRPC
//! `meshkit.v1.NamespacesService` and `ShardsService`, one to one, and the reconciler that gives every shard an owner.
//!
//! Read first: `plan.rs` decides without clock or disk, by the model's `placement` and `lifecycle`; `reconcile.rs` carries
//! plans out whenever what they stand on changes; `owners.rs` hears what owners say. The module knows peers
//! from the store alone, not from the registry.

mod assign;
mod grpc;
mod lease;
mod metrics;
mod namespaces;
mod namespaces_grpc;
mod namespaces_rest;
mod owners;
mod past;
mod plan;
mod reconcile;
mod rest;
mod shards;
mod simulate;
mod snapshot;
mod wire;

use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness};
use meshkit_model::Namespace;
use omnirelay_proto::meshkit::v1::{namespaces_service_server, shards_service_server};
use omnirelay_runtime::OperatorError;

use namespaces::Namespaces;
use owners::Owners;
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
    let owners = Arc::new(Owners::new(context.view.clone()));
    reconcile::spawn(Arc::clone(&owners), metrics, readiness.clone(), context.drain.clone());
    let shards = Arc::new(Shards::new(context, owners));
    let namespaces = Arc::new(Namespaces { view: context.view.clone(), gate: context.gate.clone() });
    let of_shards = shards_service_server::ShardsServiceServer::new(grpc::Service(Arc::clone(&shards)));
    let of_namespaces = namespaces_service_server::NamespacesServiceServer::new(namespaces_grpc::Service(
        Arc::clone(&namespaces),
    ));
    let routes = rest::routes(shards)
        .merge(namespaces_rest::routes(namespaces))
        .route_service(&format!("/{}/{{*method}}", shards_service_server::SERVICE_NAME), of_shards)
        .route_service(&format!("/{}/{{*method}}", namespaces_service_server::SERVICE_NAME), of_namespaces);
    let operations = [rest::operations(), namespaces_rest::operations()].concat();
    Ok(Module { name: "shards", routes, operations, readiness })
}
