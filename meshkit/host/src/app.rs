//! From a configuration to a running control plane.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use meshkit_api::{Context, Gate, Module, keep_house};
use meshkit_bootstrap::Prepared;
use meshkit_config::{BootstrapConfig, GRPC, MeshkitConfig, ModuleName, NamespaceConfig, REST};
use meshkit_leadership::Leadership;
use meshkit_membership::Membership;
use meshkit_model::{LeaderScope, PeerId};
use meshkit_store::View;
use omnirelay_runtime::bootstrap::{Running, Startup};
use omnirelay_runtime::config::{Layers, Loaded, refuse};
use omnirelay_runtime::{ErrorKind, OperatorError, Result, Step};
use relay_enforcement::operate::Operations;
use relay_enforcement::{Checkpoint, Checkpoints, guard, is_probe};
use relay_jwks::Keeper;
use relay_transport::auth::Authenticator;
use relay_transport::tls::ServerTls;
use relay_transport::{Body, Listener, ListenerConfig, body};
use tower::{Service, ServiceExt as _};
use tracing::warn;

use crate::args::Args;
use crate::{membership, reload, routes, store};

/// Brings meshkitd up: everything that can be wrong is found before anything is written.
///
/// # Errors
/// A configuration, a store, a certificate or an address that cannot be used.
pub async fn start(startup: Startup, args: Args) -> Result<Running> {
    startup.begin(Step::Configuration);
    let layers = Layers::from_process(args.config, args.secrets, args.sets)?;
    let loaded = reload::read(&layers, &args.modules).map_err(|problems| refusal(&problems))?;
    let config = &loaded.value;
    startup.log.configure(&config.log).map_err(|error| loaded.place("log.filter", error))?;
    startup.begin(Step::Store);
    // The listener reads these files again; here they are only tried, before a store is made.
    if let Some(tls) = &config.listener.tls {
        ServerTls::load(tls).map_err(|error| loaded.place("listener.tls", error))?;
    }
    let auth = Authenticator::new(&config.auth)?;
    let keeper = Keeper::new(&startup.metrics, startup.drain.clone());
    let keys = keeper.prepare(&auth).map_err(|error| loaded.place("auth.issuers", error))?;
    if config.auth.is_empty() {
        warn!(hint = "add `auth.identities`, `auth.tokens` or `auth.issuers`", "nobody may call");
    }
    let (view, store) = store::open(&loaded, &startup).await?;
    let authority = authority(&loaded, &view)?;
    startup.begin(Step::Listeners);
    let listener = Listener::bind("listener", &listening(config), &startup.metrics)
        .map_err(|error| loaded.place("listener", error))?;
    startup.begin(Step::Services);

    let auth = Arc::new(auth);
    keys.keep();
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
    let membership = membership::start(&loaded, &listener, &context, store.clone())?;
    let modules = modules(&context, config, authority, membership).await?;

    let checkpoints = Arc::new(Checkpoints::new(
        &config.node.name,
        &config.policy,
        &config.endpoints(),
        &startup.metrics,
        jiff::Timestamp::now(),
    ));
    checkpoints.tell_expiries(startup.drain.clone());
    let parts = reload::Parts {
        checkpoints: Arc::clone(&checkpoints),
        authenticator: Arc::clone(&context.auth),
        keeper,
        listener: listener.control(),
    };
    let operations = Operations {
        reloads: reload::follow(&startup, layers, &loaded, args.modules, parts)?,
        log: startup.log.clone(),
        steps: startup.steps.clone(),
        end: startup.failure.clone(),
    };
    startup.begin(Step::Serving);
    let ways = Ways { grpc: checkpoints.get(GRPC)?, rest: checkpoints.get(REST)? };
    let address = listener.local_addr();
    let service = service(routes::compose(&context, modules, store, checkpoints, operations), ways);
    let (drain, guard) = (startup.drain.clone(), startup.drain.guard());
    omnirelay_runtime::spawn("listener", async move {
        listener.serve(service, drain).await;
        drop(guard);
    });
    startup.ready(&address);
    Ok(Running { drain_max: config.listener.limits.drain_max() + reload::MODULES_DRAIN })
}

/// What meshkitd says when it cannot start with a configuration.
pub(crate) fn refusal(problems: &[OperatorError]) -> OperatorError {
    let nothing =
        || OperatorError::new(ErrorKind::Internal, "the configuration was refused without a reason");
    refuse(problems).err().unwrap_or_else(nothing)
}

/// The authority that certificates are issued by, where one is named and its module runs.
fn authority(loaded: &Loaded<MeshkitConfig>, view: &View) -> Result<Option<Prepared>> {
    let Some(bootstrap) = bootstrap(&loaded.value) else { return Ok(None) };
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

/// What certificates are issued by, where the module that does so runs.
fn bootstrap(config: &MeshkitConfig) -> Option<&BootstrapConfig> {
    config.bootstrap.as_ref().filter(|_| config.modules.contains(&ModuleName::Bootstrap))
}

/// The listener's configuration; it believes none whom the authority's list names.
pub(crate) fn listening(config: &MeshkitConfig) -> ListenerConfig {
    let mut listener = config.listener.clone();
    let list = bootstrap(config).map(|bootstrap| &bootstrap.revocation_list);
    if let (Some(tls), Some(list)) = (&mut listener.tls, list)
        && !tls.crl.contains(list)
    {
        tls.crl.push(list.clone());
    }
    listener
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

async fn modules(
    context: &Context,
    config: &MeshkitConfig,
    mut authority: Option<Prepared>,
    membership: Option<Membership>,
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
                meshkit_registry::start(context, settings, membership.clone())
            }
            ModuleName::Shards => {
                let namespaces = config.shards.namespaces.iter();
                let settings = meshkit_shards::Settings {
                    namespaces: namespaces.map(NamespaceConfig::to_namespace).collect(),
                };
                meshkit_shards::start(context, settings).await?
            }
            ModuleName::Leaders => meshkit_leaders::start(context),
            ModuleName::Members => meshkit_members::start(context, membership.clone()),
            ModuleName::Clusters => meshkit_clusters::start(context),
            ModuleName::Config => meshkit_settings::start(context),
            ModuleName::Audit => meshkit_audit::start(context),
            ModuleName::Backup => meshkit_backup::start(context),
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
