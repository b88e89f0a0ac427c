//! What of a relay follows its configuration while it runs, and how.

use std::sync::Arc;

use jiff::Timestamp;
use meshkit_client::MeshClient;
use omnirelay_runtime::bootstrap::Startup;
use omnirelay_runtime::config::{self, Layers, Loaded};
use omnirelay_runtime::reload::{Reloader, Reloads, Section, Staged};
use omnirelay_runtime::{Drain, DrainMax, LogControl, Result};
use relay_config::{OutboundConfig, RelayConfig, outbound_endpoint};
use relay_enforcement::{Checkpoint, Checkpoints};
use relay_jwks::Keeper;
use relay_transport::auth::Authenticator;
use relay_transport::{ListenerConfig, ListenerControl};

use crate::access::AccessLog;
use crate::outbound::Outbound;
use crate::proxy::{Proxy, Table};
use crate::relay::drain_max;
use crate::routing::Router;

/// The parts of a relay that follow its configuration.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) keeper: Keeper,
    pub(crate) data: ListenerControl,
    pub(crate) admin: ListenerControl,
    /// Where the mesh is asked; it stays what it was at the start.
    pub(crate) mesh: Option<MeshClient>,
}

/// Follows the configuration until the drain.
///
/// # Errors
/// Signals that cannot be received.
pub(crate) fn follow(
    startup: &Startup,
    layers: Layers,
    loaded: &Loaded<RelayConfig>,
    parts: Parts,
) -> Result<Reloads> {
    let mut reloader = Reloader::new(&loaded.value.node.name, layers, loaded, |layers| {
        let loaded = config::load_kind_all::<RelayConfig>(layers, "relay")?;
        let problems = RelayConfig::check(&loaded, Timestamp::now()).problems;
        if problems.is_empty() { Ok(loaded) } else { Err(problems) }
    })?;
    let log = startup.log.clone();
    reloader
        .section(Section::new("log", &["log"], move |loaded: &Loaded<RelayConfig>| stage_log(&log, loaded)));
    let (authenticator, keeper) = (Arc::clone(&parts.authenticator), parts.keeper.clone());
    reloader.section(Section::new("auth", &["auth"], move |loaded: &Loaded<RelayConfig>| {
        let known = authenticator.again(&loaded.value.auth)?;
        let keys = keeper.prepare(&known).map_err(|error| loaded.place("auth.issuers", error))?;
        let authenticator = Arc::clone(&authenticator);
        Ok(Staged::new(move || {
            authenticator.replace(known);
            keys.keep();
        }))
    }));
    let keys =
        &["data.limits", "data.tls", "data.compression", "admin.limits", "admin.tls", "admin.compression"];
    let (data, admin, longest) = (parts.data.clone(), parts.admin.clone(), startup.drain_max.clone());
    let listeners = Section::new("listeners", keys, move |loaded: &Loaded<RelayConfig>| {
        stage_listeners(&data, &admin, &longest, loaded)
    });
    reloader.section(listeners.always());
    let drain = startup.drain.clone();
    let keys = &["outbounds", "routes", "rpc_path", "policy", "access_log"];
    reloader.section(Section::new("routing", keys, move |loaded: &Loaded<RelayConfig>| {
        stage_routing(&parts, &drain, loaded)
    }));
    reloader.start(startup)
}

fn stage_log(log: &LogControl, loaded: &Loaded<RelayConfig>) -> Result<Staged> {
    let (log, config) = (log.clone(), loaded.value.log.clone());
    config.check().map_err(|error| loaded.place("log.filter", error))?;
    Ok(Staged::new(move || {
        // It was read just now.
        let _checked = log.configure(&config);
    }))
}

fn stage_listeners(
    data: &ListenerControl,
    admin: &ListenerControl,
    longest: &DrainMax,
    loaded: &Loaded<RelayConfig>,
) -> Result<Staged> {
    let config = &loaded.value;
    let stage = |name: &str, control: &ListenerControl, config: &ListenerConfig| {
        control.stage(config).map_err(|error| loaded.place(name, error))
    };
    let (data, admin) = (stage("data", data, &config.data)?, stage("admin", admin, &config.admin)?);
    if data.is_nothing() && admin.is_nothing() {
        return Ok(Staged::nothing());
    }
    let certificates = [("data", data.changes_certificates()), ("admin", admin.changes_certificates())];
    let (longest, max) = (longest.clone(), drain_max(&config.data, &config.admin));
    let staged = Staged::new(move || {
        data.commit();
        admin.commit();
        longest.set(max);
    });
    let changed = certificates.into_iter().filter(|(_, changed)| *changed);
    Ok(changed.fold(staged, |staged, (name, _)| staged.noting(format!("files of {name}.tls"))))
}

fn stage_routing(parts: &Parts, drain: &Drain, loaded: &Loaded<RelayConfig>) -> Result<Staged> {
    let (config, proxy) = (&loaded.value, &parts.proxy);
    let before = proxy.table();
    let staged = parts.checkpoints.stage(&config.policy, &config.endpoints());
    let outbounds = outbounds(loaded, parts.mesh.as_ref(), Some(&before), |name| staged.get(name))?;
    let router = Router::new(
        &config.routes,
        &outbounds,
        &config.rpc_path,
        Some(&before.router),
        &parts.authenticator,
    )?;
    let access = config.access_log.as_ref().map(AccessLog::new);
    let (proxy, drain) = (Arc::clone(proxy), drain.clone());
    Ok(Staged::new(move || {
        staged.commit();
        let table = Table { router, outbounds: outbounds.clone(), access };
        let before = proxy.swap(table);
        let is_kept =
            |list: &[Arc<Outbound>], one: &Arc<Outbound>| list.iter().any(|other| Arc::ptr_eq(other, one));
        outbounds.iter().filter(|one| !is_kept(&before.outbounds, one)).for_each(|one| one.watch(&drain));
        for old in before.outbounds.iter().filter(|old| !is_kept(&outbounds, old)) {
            let after = outbounds.iter().find(|new| new.name() == old.name());
            old.retire(after.map(AsRef::as_ref), &drain);
        }
    }))
}

/// The outbounds of a configuration. One that is what it was before stays; one that is not goes on with what
/// fits.
///
/// # Errors
/// TLS files that cannot be used.
pub(crate) fn outbounds(
    loaded: &Loaded<RelayConfig>,
    mesh: Option<&MeshClient>,
    before: Option<&Table>,
    checkpoint: impl Fn(&str) -> Result<Arc<Checkpoint>>,
) -> Result<Vec<Arc<Outbound>>> {
    let zone = &loaded.value.node.zone;
    let one = |(index, config): (usize, &OutboundConfig)| {
        let known = before.and_then(|table| table.outbounds.iter().find(|one| one.name() == config.name));
        if let Some(same) = known.filter(|known| known.is(config)) {
            return Ok(Arc::clone(same));
        }
        let checkpoint = checkpoint(&outbound_endpoint(&config.name))?;
        let outbound = Outbound::new(config, zone, mesh, checkpoint, known.map(AsRef::as_ref));
        outbound.map(Arc::new).map_err(|error| loaded.place(&format!("outbounds.{index}.tls"), error))
    };
    loaded.value.outbounds.iter().enumerate().map(one).collect()
}
