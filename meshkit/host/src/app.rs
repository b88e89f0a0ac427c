//! From a configuration to a running control plane.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use meshkit_api::{Context, Gate, Module, keep_house};
use meshkit_config::{GRPC, MeshkitConfig, ModuleName, NamespaceConfig, REST};
use meshkit_leadership::Leadership;
use meshkit_model::{LeaderScope, PeerId};
use omnirelay_runtime::bootstrap::{Running, Startup};
use omnirelay_runtime::config::{Layers, Loaded, load_kind, refuse};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_enforcement::{Checkpoint, Checkpoints, guard, is_probe};
use relay_transport::auth::Authenticator;
use relay_transport::tls::ServerTls;
use relay_transport::{Body, Listener, body};
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
    let listener = Listener::bind("listener", &config.listener, &startup.metrics)
        .map_err(|error| loaded.place("listener.address", error))?;
    startup.step("listener");

    let auth = Arc::new(auth);
    let leadership = Leadership::start(&view, candidacy(config)?, &startup.metrics, &startup.drain);
    keep_house(view.clone(), leadership.clone(), startup.drain.clone());
    let context = Context {
        gate: Gate::new(Arc::clone(&auth), view.clone(), startup.drain.clone()),
        view,
        leadership,
        auth,
        metrics: startup.metrics.clone(),
        drain: startup.drain.clone(),
    };
    let modules = modules(&context, config).await?;
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

/// What this node would lead.
fn candidacy(config: &MeshkitConfig) -> Result<meshkit_leadership::Settings> {
    let led = [ModuleName::Registry, ModuleName::Shards].into_iter();
    let modules = led.filter(|module| config.modules.contains(module));
    let scopes = std::iter::once(Ok(LeaderScope::global()))
        .chain(modules.map(|module| LeaderScope::module(module.as_str())))
        .chain(config.shards.namespaces.iter().map(|namespace| LeaderScope::namespace(&namespace.name)))
        .collect::<std::result::Result<_, _>>();
    let named = |invalid: meshkit_model::Invalid| OperatorError::new(ErrorKind::Config, invalid.to_string());
    Ok(meshkit_leadership::Settings {
        node: PeerId::new(config.node.name.as_str()).map_err(named)?,
        lease: config.leadership.lease(),
        scopes: scopes.map_err(named)?,
    })
}

async fn modules(context: &Context, config: &MeshkitConfig) -> Result<Vec<Module>> {
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
            ModuleName::Leaders => meshkit_leaders::start(context),
            ModuleName::Clusters => meshkit_clusters::start(context),
            ModuleName::Config => meshkit_settings::start(context),
            ModuleName::Audit => meshkit_audit::start(context),
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
