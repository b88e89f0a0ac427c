//! `relayd` composed: from configuration to two listeners that serve.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use omnirelay_runtime::Result;
use omnirelay_runtime::bootstrap::{Running, Startup};
use omnirelay_runtime::config::{self, Layers};
use relay_config::{CONTROL_PLANE, DATA, DIAGNOSTICS, RelayConfig, outbound_endpoint};
use relay_enforcement::Checkpoints;
use relay_transport::auth::Authenticator;
use relay_transport::{Listener, ListenerConfig};

use crate::admin::{Admin, InboundInfo};
use crate::outbound::{Outbound, OutboundMetrics};
use crate::proxy::Proxy;
use crate::registration;
use crate::routing::Router;

/// Starts a relay: everything is read and checked before a port is bound.
///
/// # Errors
/// Whatever is wrong with the configuration, the files that it names or the addresses.
pub async fn start(mut startup: Startup, layers: Layers) -> Result<Running> {
    let loaded = config::load_kind::<RelayConfig>(&layers, "relay")?;
    let check = RelayConfig::check(&loaded, Timestamp::now());
    config::refuse(&check.problems)?;
    let config = &loaded.value;
    startup.step("configuration");

    let checkpoints = Arc::new(Checkpoints::new(
        &config.node.name,
        &config.policy,
        &config.endpoints(),
        &startup.metrics,
        Timestamp::now(),
    ));
    let outbounds = config
        .outbounds
        .iter()
        .enumerate()
        .map(|(index, outbound)| {
            let checkpoint = checkpoints.get(&outbound_endpoint(&outbound.name))?;
            let outbound = Outbound::new(outbound, &config.node.zone, checkpoint);
            outbound.map(Arc::new).map_err(|error| loaded.place(&format!("outbounds.{index}.tls"), error))
        })
        .collect::<Result<Vec<_>>>()?;
    let router = Router::new(&config.routes, &outbounds, &config.rpc_path)?;
    let proxy = Arc::new(Proxy { router, checkpoint: checkpoints.get(DATA)? });
    let collector = Box::new(OutboundMetrics(outbounds.clone()));
    startup.metrics.register(|registry| registry.register_collector(collector));
    let authenticator = Authenticator::new(&config.auth)?;
    startup.step("outbounds");

    let bind = |name, listener: &ListenerConfig| {
        Listener::bind(name, listener, &startup.metrics).map_err(|error| loaded.place(name, error))
    };
    let data = bind("data", &config.data)?;
    let admin_listener = bind("admin", &config.admin)?;
    let data_address = data.local_addr();
    let admin_address = admin_listener.local_addr();
    startup.step("listeners");

    let admin = Arc::new(Admin {
        node: config.node.name.clone(),
        started: Instant::now(),
        drain: startup.drain.clone(),
        metrics: startup.metrics.clone(),
        authenticator,
        proxy: Arc::clone(&proxy),
        outbounds: outbounds.clone(),
        inbounds: vec![inbound("data", &data), inbound("admin", &admin_listener)],
        checkpoint: checkpoints.get(DIAGNOSTICS)?,
        checkpoints: Arc::clone(&checkpoints),
    });
    if let Some(mesh) = &config.mesh {
        let checkpoint = checkpoints.get(CONTROL_PLANE)?;
        registration::start(mesh, config, &data, checkpoint, startup.drain.clone())
            .map_err(|error| loaded.place("mesh.tls", error))?;
    }
    let data_service = tower::service_fn(move |request| Arc::clone(&proxy).handle(request));
    let admin_service = tower::service_fn(move |request| Arc::clone(&admin).handle(request));
    outbounds.iter().for_each(|outbound| outbound.watch(&startup.drain));
    checkpoints.tell_expiries(startup.drain.clone());
    let guard = startup.drain.guard();
    let serving_data = data.serve(data_service, startup.drain.clone());
    omnirelay_runtime::spawn("data-listener", async move {
        serving_data.await;
        // Every call is answered: peers hear that we are gone instead of finding out.
        for outbound in &outbounds {
            outbound.close().await;
        }
        drop(guard);
    });
    let guard = startup.drain.guard();
    let serving_admin = admin_listener.serve(admin_service, startup.drain.clone());
    omnirelay_runtime::spawn("admin-listener", async move {
        serving_admin.await;
        drop(guard);
    });
    tracing::info!(data = %data_address, admin = %admin_address, "listening");
    startup.ready(&admin_address);
    Ok(Running { drain_max: drain_max(&config.data, &config.admin) })
}

fn inbound(name: &'static str, listener: &Listener) -> InboundInfo {
    InboundInfo {
        name,
        address: listener.local_addr().to_string(),
        protocols: listener.protocols().to_vec(),
        stats: listener.stats(),
    }
}

fn drain_max(data: &ListenerConfig, admin: &ListenerConfig) -> std::time::Duration {
    data.limits.drain_max().max(admin.limits.drain_max())
}
