//! How peers get the certificates that the mesh knows them by, and how they lose them, over REST and gRPC
//! `meshkit.v1.BootstrapService`, one to one.
//!
//! Read first: [`Prepared`] tries the authority and writes the list of revoked certificates before a listener reads it;
//! [`start`] makes the module. `join.rs` lets peers in, `bootstrap.rs` is what operators do, `trust.rs` takes a revocation
//! to this process's listeners, `authority.rs` signs; `rest.rs` and `grpc.rs` only translate.

mod authority;
mod bootstrap;
mod elders;
mod grpc;
mod join;
mod metrics;
mod rest;
mod secret;
mod sweep;
mod trust;
mod wire;

use std::fmt;
use std::sync::Arc;

use meshkit_api::{Context, Module, Readiness, now};
use meshkit_store::View;
use omnirelay_proto::meshkit::v1::bootstrap_service_server::{BootstrapServiceServer, SERVICE_NAME};
use omnirelay_runtime::Result;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use authority::Authority;
use bootstrap::Bootstrap;
use metrics::ByReason;
use trust::Trust;

pub use authority::Settings;

/// The authority, tried, with the list of revoked certificates on disk.
pub struct Prepared(Arc<Trust>);

impl Prepared {
    /// Tries the authority and writes the list as the store is now.
    ///
    /// # Errors
    /// Files that cannot be read, that are no authority, or whose certificates nobody would believe; a list that cannot be
    /// written.
    pub fn new(view: &View, settings: Settings) -> Result<Self> {
        Authority::load(&settings)?.check(&settings, now())?;
        let trust = Trust::new(view.clone(), settings);
        trust.write()?;
        Ok(Self(Arc::new(trust)))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.0.settings).finish()
    }
}

/// Starts the module: its routes, the list of revoked certificates and the sweep until the drain begins. Without an
/// authority it lists and revokes, and issues nothing.
#[must_use]
pub fn start(context: &Context, prepared: Option<Prepared>) -> Module {
    let issued: Family<ByReason, Counter> = Family::default();
    context.metrics.register(|registry| {
        let help = "Certificates issued, by why";
        registry.register("meshkit_certificates_issued", help, issued.clone());
    });
    let trust = prepared.map(|prepared| prepared.0);
    if let Some(trust) = &trust {
        Arc::clone(trust).keep(context.drain.clone());
    }
    sweep::spawn(context.view.clone(), context.drain.clone());
    let bootstrap =
        Arc::new(Bootstrap { gate: context.gate.clone(), view: context.view.clone(), trust, issued });
    let grpc = BootstrapServiceServer::new(grpc::Service(Arc::clone(&bootstrap)));
    let routes = rest::routes(bootstrap).route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
    Module { name: "bootstrap", routes, operations: rest::operations(), readiness: Readiness::ready() }
}
