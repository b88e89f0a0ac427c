//! This node's part in the gossip.

use meshkit_api::{Context, Readiness};
use meshkit_config::{MembershipConfig, MeshkitConfig};
use meshkit_membership::{ALPN, Health, Membership, Settings, Swim, Tuning};
use meshkit_model::PeerId;
use omnirelay_runtime::config::Loaded;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_transport::Listener;
use relay_transport::datagram::{DatagramConfig, Datagrams};
use relay_transport::tls::ServerTls;
use tracing::info;

/// What a meshkitd is to others.
const ROLE: &str = "control-plane";
/// Connections at a time: members in both directions, and some that are about to end.
const MAX_CONNECTIONS: usize = 2 * Swim::MAX_MEMBERS;

/// Gossips where the configuration says so.
///
/// # Errors
/// An address that is taken or not ours; a certificate that names another node.
pub(crate) fn start(
    loaded: &Loaded<MeshkitConfig>,
    listener: &Listener,
    context: &Context,
    store: Readiness,
) -> Result<Option<Membership>> {
    let config = &loaded.value;
    let Some(membership) = &config.membership else { return Ok(None) };
    let no_tls = || OperatorError::new(ErrorKind::Config, "gossip needs the certificate of `listener.tls`");
    let tls = listener.tls().ok_or_else(no_tls)?;
    is_named(&tls, &config.node.name).map_err(|error| loaded.place("node.name", error))?;
    let datagrams = DatagramConfig {
        address: membership.address,
        alpn: ALPN,
        allow: membership.allow.clone(),
        max_message: Swim::MAX_MESSAGE,
        max_connections: MAX_CONNECTIONS,
    };
    let (datagrams, inbox) = Datagrams::bind(&datagrams, &tls, &context.metrics)
        .map_err(|error| loaded.place("membership.address", error))?;
    info!(address = %datagrams.local_addr(), "gossips");
    let view = context.view.clone();
    let report = Box::new(move || {
        let health = if store.reason().is_none() { Health::Ready } else { Health::NotReady };
        (health, view.settled())
    });
    let settings = settings(config, membership)?;
    let started = Membership::start(datagrams, inbox, settings, report, &context.metrics, &context.drain);
    started.map(Some).map_err(|error| loaded.place("membership", error))
}

/// Others take a node's word for its own alone, so its certificate has to name it.
fn is_named(tls: &ServerTls, name: &str) -> Result<()> {
    let identity = tls.identity();
    if identity.as_ref().is_some_and(|identity| identity.name() == name) {
        return Ok(());
    }
    let named = identity.map_or_else(|| "nobody".to_owned(), |identity| identity.spiffe().to_owned());
    let problem = format!("the certificate of `listener.tls` names {named}, and not `{name}`");
    Err(OperatorError::new(ErrorKind::Config, problem)
        .hint("gossip needs a certificate whose SPIFFE id ends with the node's name"))
}

fn settings(config: &MeshkitConfig, membership: &MembershipConfig) -> Result<Settings> {
    let named = |invalid: meshkit_model::Invalid| OperatorError::new(ErrorKind::Config, invalid.to_string());
    Ok(Settings {
        id: PeerId::new(config.node.name.as_str()).map_err(named)?,
        role: ROLE.to_owned(),
        cluster: config.node.cluster.clone(),
        zone: config.node.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        advertise: membership.advertise,
        seeds: membership.seeds.clone(),
        tuning: Tuning {
            probe_every: membership.probe_interval(),
            answer_within: membership.probe_timeout(),
            suspect_for: membership.suspicion(),
            gossip_every: membership.gossip_interval(),
            forget_after: membership.forget_after(),
            ..Tuning::default()
        },
    })
}
