//! From a configuration to a running control plane.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use meshkit_api::{Context, Gate, Module, keep_house};
use meshkit_bootstrap::Prepared;
use meshkit_config::{GRPC, MeshkitConfig, ModuleName, NamespaceConfig, REST};
use meshkit_store::View;
use omnirelay_runtime::Result;
use omnirelay_runtime::bootstrap::{Running, Startup};
use omnirelay_runtime::config::{Layers, Loaded, load_kind, refuse};
use relay_enforcement::{Checkpoint, Checkpoints, guard, is_probe};
use relay_transport::auth::Authenticator;
use relay_transport::tls::ServerTls;
use relay_transport::{Body, Listener, ListenerConfig, body};
use tower::{Service, ServiceExt as _};
use tracing::warn;

use crate::args::Args;
use crate::{routes, store};

/// Time beyond the listener's own drain for the modules to write down what they know.
const MODULES_DRAIN: Duration = Duration::from_secs(2);

/// Brings meshkitd up: everything that can be wrong is found before anything is written.
///
/// # Errors
/// A configuration, a store, a certificate or an address that cannot be used.
pub async fn start(mut startup: Startup, args: Args) -> Result<Running> {
    let loaded = configuration(args)?;
    let config = &loaded.value;
    startup.step("configuration");
    // The listener reads these files again; here they are only tried, before a store is made.
    if let Some(tls) = &config.listener.tls {
        ServerTls::load(tls).map_err(|error| loaded.place("listener.tls", error))?;
    }
    let auth = Authenticator::new(&config.auth)?;
    if config.auth.identities.is_empty() && config.auth.tokens.is_empty() {
        warn!(hint = "add `auth.identities` or `auth.tokens`", "nobody may call");
    }
    let (view, store) = store::open(&loaded, &startup).await?;
    startup.step("store");
    let authority = authority(&loaded, &view)?;
    let listener = Listener::bind("listener", &listening(config, authority.is_some()), &startup.metrics)
        .map_err(|error| loaded.place("listener.address", error))?;
    startup.step("listener");

    let auth = Arc::new(auth);
    keep_house(view.clone(), startup.drain.clone());
    let context = Context {
        gate: Gate::new(Arc::clone(&auth), view.clone(), startup.drain.clone()),
        view,
        auth,
        metrics: startup.metrics.clone(),
        drain: startup.drain.clone(),
    };
    let modules = modules(&context, config, authority).await?;
    startup.step("modules");

    let checkpoints = Arc::new(Checkpoints::new(
        &config.node.name,
        &config.policy,
        &config.endpoints(),
        &startup.metrics,
        jiff::Timestamp::now(),
    ));
    checkpoints.tell_expiries(startup.drain.clone());
    let ways = Ways { grpc: checkpoints.get(GRPC)?, rest: checkpoints.get(REST)? };
    let address = listener.local_addr();
    let service = service(routes::compose(&context, modules, store, checkpoints), ways);
    let (drain, guard) = (startup.drain.clone(), startup.drain.guard());
    omnirelay_runtime::spawn("listener", async move {
        listener.serve(service, drain).await;
        drop(guard);
    });
    startup.ready(&address);
    Ok(Running { drain_max: config.listener.limits.drain_max() + MODULES_DRAIN })
}

fn configuration(args: Args) -> Result<Loaded<MeshkitConfig>> {
    let mut loaded: Loaded<MeshkitConfig> =
        load_kind(&Layers::from_process(args.config, args.sets), "meshkit")?;
    if !args.modules.is_empty() {
        loaded.value.modules = args.modules;
    }
    refuse(&MeshkitConfig::check(&loaded, jiff::Timestamp::now()).problems)?;
    Ok(loaded)
}

/// The authority that certificates are issued by, where one is named and its module runs.
fn authority(loaded: &Loaded<MeshkitConfig>, view: &View) -> Result<Option<Prepared>> {
    let config = &loaded.value;
    let runs = config.modules.contains(&ModuleName::Bootstrap);
    let Some(bootstrap) = config.bootstrap.as_ref().filter(|_| runs) else { return Ok(None) };
    let settings = meshkit_bootstrap::Settings {
        certificate: bootstrap.certificate.clone(),
        private_key: bootstrap.private_key.clone(),
        bundle: bootstrap.bundle.clone(),
        trust_domain: bootstrap.trust_domain.clone(),
        revocation_list: bootstrap.revocation_list.clone(),
        lifetime: bootstrap.certificate_lifetime(),
    };
    Prepared::new(view, settings).map(Some).map_err(|error| loaded.place("bootstrap", error))
}

/// The listener's configuration; it believes none whom the authority's list names.
fn listening(config: &MeshkitConfig, has_authority: bool) -> ListenerConfig {
    let mut listener = config.listener.clone();
    let list =
        config.bootstrap.as_ref().filter(|_| has_authority).map(|bootstrap| &bootstrap.revocation_list);
    if let (Some(tls), Some(list)) = (&mut listener.tls, list)
        && !tls.crl.contains(list)
    {
        tls.crl.push(list.clone());
    }
    listener
}

async fn modules(
    context: &Context,
    config: &MeshkitConfig,
    mut authority: Option<Prepared>,
) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    for name in ModuleName::ALL {
        if !config.modules.contains(&name) {
            continue;
        }
        modules.push(match name {
            ModuleName::Registry => {
                let settings = meshkit_registry::Settings {
                    heartbeat_interval: config.registry.heartbeat_interval(),
                    liveness: config.registry.liveness(),
                };
                meshkit_registry::start(context, settings)
            }
            ModuleName::Shards => {
                let namespaces = config.shards.namespaces.iter();
                let settings = meshkit_shards::Settings {
                    namespaces: namespaces.map(NamespaceConfig::to_namespace).collect(),
                };
                meshkit_shards::start(context, settings).await?
            }
            ModuleName::Clusters => meshkit_clusters::start(context),
            ModuleName::Config => meshkit_settings::start(context),
            ModuleName::Audit => meshkit_audit::start(context),
            ModuleName::Bootstrap => meshkit_bootstrap::start(context, authority.take()),
        });
    }
    Ok(modules)
}

/// The two ways to speak to the one listener.
#[derive(Clone)]
struct Ways {
    grpc: Arc<Checkpoint>,
    rest: Arc<Checkpoint>,
}

impl Ways {
    fn of(&self, request: &Request<Body>) -> &Arc<Checkpoint> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // A call of a contract is one whatever it calls its content.
        let is_grpc = request.uri().path().starts_with("/meshkit.")
            || kind.is_some_and(|kind| kind.starts_with("application/grpc"));
        match is_grpc {
            true => &self.grpc,
            false => &self.rest,
        }
    }
}

/// The router as the listener's service: behind the transport policy, and with other bodies.
fn service(
    router: axum::Router,
    ways: Ways,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    tower::service_fn(move |request: Request<Body>| {
        let (router, ways) = (router.clone(), ways.clone());
        async move {
            let answer = |request: Request<Body>| async move {
                match router.oneshot(request.map(axum::body::Body::new)).await {
                    Ok(response) => response.map(body::boxed),
                    Err(never) => match never {},
                }
            };
            if is_probe(request.uri().path()) {
                return Ok(answer(request).await);
            }
            Ok(guard(ways.of(&request), request, answer).await)
        }
    })
}
