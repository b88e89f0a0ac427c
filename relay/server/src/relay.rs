//! `relayd` composed: from configuration to two listeners that serve.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use omnirelay_runtime::bootstrap::{Running, Startup};
use omnirelay_runtime::config::{self, Layers};
use omnirelay_runtime::takeover::{Heirloom, Inheritance};
use omnirelay_runtime::{Drain, DrainController, Result, Step};
use relay_config::{CONTROL_PLANE, DATA, DIAGNOSTICS, MeshConfig, RelayConfig, TracingConfig};
use relay_enforcement::Checkpoints;
use relay_enforcement::operate::Operations;
use relay_jwks::Keeper;
use relay_transport::auth::Authenticator;
use relay_transport::{Listener, ListenerConfig};

use crate::access::AccessLog;
use crate::admin::{Admin, InboundInfo};
use crate::outbound::OutboundMetrics;
use crate::proxy::{Proxy, Table};
use crate::routing::{RouteMetrics, Router};
use crate::trace::Tracer;
use crate::{mesh_carrier, registration, reload};

/// Starts a relay: everything is read and checked before a port is bound.
///
/// # Errors
/// Whatever is wrong with the configuration, the files that it names or the addresses.
pub async fn start(startup: Startup, layers: Layers) -> Result<Running> {
    startup.begin(Step::Configuration);
    let loaded = config::load_kind::<RelayConfig>(&layers, "relay")?;
    let check = RelayConfig::check(&loaded, Timestamp::now());
    config::refuse(&check.problems)?;
    let config = &loaded.value;
    startup.log.configure(&config.log).map_err(|error| loaded.place("log.filter", error))?;

    startup.begin(Step::Outbounds);
    let checkpoints = Arc::new(Checkpoints::new(
        &config.node.name,
        &config.policy,
        &config.endpoints(),
        &startup.metrics,
        Timestamp::now(),
    ));
    let client = |mesh: &MeshConfig| {
        mesh_carrier::client(mesh, &checkpoints.get(CONTROL_PLANE)?)
            .map_err(|error| loaded.place("mesh.tls", error))
    };
    let mesh = config.mesh.as_ref().map(client).transpose()?;
    let outbounds = reload::outbounds(&loaded, mesh.as_ref(), None, |name| checkpoints.get(name))?;
    let authenticator = Arc::new(Authenticator::new(&config.auth)?);
    let keeper = Keeper::new(&startup.metrics, startup.drain.clone());
    let keys = keeper.prepare(&authenticator).map_err(|error| loaded.place("auth.issuers", error))?;
    let router = Router::new(&config.routes, &outbounds, &config.rpc_path, None, &authenticator)?;
    let access = config.access_log.as_ref().map(AccessLog::new);
    let calls_ended = DrainController::new();
    let start = |tracing: &TracingConfig| {
        let (ended, guard) = (calls_ended.drain(), startup.drain.guard());
        Tracer::start(tracing, &config.node.name, &startup.metrics, ended, guard)
            .map_err(|error| loaded.place("tracing.tls", error))
    };
    let tracer = config.tracing.as_ref().map(start).transpose()?;
    let table = Table { router, outbounds, access };
    let proxy = Arc::new(Proxy::new(table, checkpoints.get(DATA)?, tracer));
    let collectors =
        (Box::new(OutboundMetrics(Arc::clone(&proxy))), Box::new(RouteMetrics(Arc::clone(&proxy))));
    startup.metrics.register(|registry| {
        registry.register_collector(collectors.0);
        registry.register_collector(collectors.1);
    });

    startup.begin(Step::Listeners);
    let inheritance = Inheritance::of(config.takeover.as_ref(), &startup).await;
    let mut inheritance = inheritance.map_err(|error| loaded.place("takeover.socket", error))?;
    let mut bind = |name, listener: &ListenerConfig| {
        let inherited = inheritance.take(name);
        Listener::inherit(name, listener, &startup.metrics, inherited)
            .map_err(|error| loaded.place(name, error))
    };
    let data = bind("data", &config.data)?;
    let admin_listener = bind("admin", &config.admin)?;
    let heirlooms = heirlooms(&[&data, &admin_listener]);
    let admin_address = admin_listener.local_addr();
    tracing::info!(data = %data.local_addr(), admin = %admin_address, "listening");

    startup.begin(Step::Services);
    keys.keep();
    let parts = reload::Parts {
        proxy: Arc::clone(&proxy),
        checkpoints: Arc::clone(&checkpoints),
        authenticator: Arc::clone(&authenticator),
        keeper,
        data: data.control(),
        admin: admin_listener.control(),
        mesh: mesh.clone(),
    };
    let reloads = reload::follow(&startup, layers, &loaded, parts)?;
    let admin = Arc::new(Admin {
        node: config.node.name.clone(),
        started: Instant::now(),
        drain: startup.drain.clone(),
        metrics: startup.metrics.clone(),
        authenticator,
        proxy: Arc::clone(&proxy),
        operations: Operations {
            reloads,
            log: startup.log.clone(),
            steps: startup.steps.clone(),
            end: startup.failure.clone(),
        },
        inbounds: vec![inbound("data", &data), inbound("admin", &admin_listener)],
        checkpoint: checkpoints.get(DIAGNOSTICS)?,
        checkpoints: Arc::clone(&checkpoints),
    });
    if let Some((section, client)) = config.mesh.as_ref().zip(mesh) {
        startup.begin(Step::Registration);
        registration::start(section, client, config, &data, startup.drain.clone());
    }
    startup.begin(Step::Serving);
    proxy.table().outbounds.iter().for_each(|outbound| outbound.watch(&startup.drain));
    checkpoints.tell_expiries(startup.drain.clone());
    inheritance.claim(&heirlooms).await?;
    serve((data, proxy), (admin_listener, admin), &startup.drain, calls_ended);
    inheritance.serving(heirlooms, &startup).await?;
    startup.ready(&admin_address);
    Ok(Running { drain_max: drain_max(&config.data, &config.admin) })
}

/// What another process goes on with.
#[cfg(unix)]
fn heirlooms(listeners: &[&Listener]) -> Vec<Arc<dyn Heirloom>> {
    listeners.iter().map(|listener| listener.heirloom()).collect()
}

#[cfg(not(unix))]
fn heirlooms(_listeners: &[&Listener]) -> Vec<Arc<dyn Heirloom>> {
    Vec::new()
}

/// Serves calls until the drain has ended them, and diagnostics until then: whoever asks for health
/// meanwhile hears that the relay drains, and not that it is gone. Where another process goes on, diagnostics end with
/// the beginning of the drain: the other one answers at their address.
fn serve(
    (data, proxy): (Listener, Arc<Proxy>),
    (admin_listener, admin): (Listener, Arc<Admin>),
    drain: &Drain,
    calls_ended: DrainController,
) {
    let (guard, ending) = (drain.guard(), drain.clone());
    let diagnostics = DrainController::new();
    let (admin_drain, last_call) = (diagnostics.drain(), calls_ended.drain());
    omnirelay_runtime::spawn("admin-drain", async move {
        ending.started().await;
        if !ending.is_handed_over() {
            last_call.started().await;
        }
        diagnostics.start();
    });
    let admin_service = tower::service_fn(move |request| Arc::clone(&admin).handle(request));
    omnirelay_runtime::spawn("admin-listener", async move {
        admin_listener.serve(admin_service, admin_drain).await;
        drop(guard);
    });
    let (guard, draining) = (drain.guard(), drain.clone());
    let calls = Arc::clone(&proxy);
    let data_service = tower::service_fn(move |request| Arc::clone(&calls).handle(request));
    omnirelay_runtime::spawn("data-listener", async move {
        data.serve(data_service, draining).await;
        // Every call is answered: peers hear that we are gone instead of finding out.
        for outbound in &proxy.table().outbounds {
            outbound.close().await;
        }
        calls_ended.start();
        drop(guard);
    });
}

fn inbound(name: &'static str, listener: &Listener) -> InboundInfo {
    InboundInfo {
        name,
        address: listener.local_addr().to_string(),
        protocols: listener.protocols().to_vec(),
        stats: listener.stats(),
    }
}

/// How long a drain may take.
pub(crate) fn drain_max(data: &ListenerConfig, admin: &ListenerConfig) -> std::time::Duration {
    data.limits.drain_max().max(admin.limits.drain_max())
}
