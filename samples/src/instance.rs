//! The life of one instance: configured, bound, registered, serving until it drains.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use meshkit_client::{Identity, MeshClient, Registration};
use omnirelay_proto::DESCRIPTOR_SET;
use omnirelay_runtime::bootstrap::{Running, Startup};
use omnirelay_runtime::config::{Layers, load};
use omnirelay_runtime::{Drain, Result, Step};
use relay_enforcement::{Checkpoints, GuardLayer, Guarded};
use relay_rpc::{DispatchService, Dispatcher};
use relay_transport::{Body, Listener, body};
use tower::{Layer as _, Service as _};

use crate::config::{self, SampleConfig};
use crate::contracts::{GreeterServer, InventoryServer};
use crate::inventory::Stock;
use crate::ownership::Ownership;
use crate::stockist::Stockist;
use crate::{greeter, peer};

/// The sample to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Greeter,
    Inventory,
}

impl Which {
    /// The name of the service.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Greeter => "greeter",
            Self::Inventory => "inventory",
        }
    }
}

/// Starts an instance; everything is read and checked before a port is bound.
pub(crate) async fn start(startup: Startup, layers: Layers, which: Which) -> Result<Running> {
    startup.begin(Step::Configuration);
    let loaded = load::<SampleConfig>(&layers)?;
    config::check(&loaded, Timestamp::now())?;
    let config = loaded.value;

    startup.begin(Step::Listeners);
    let listener = Listener::bind("listener", &config.listener, &startup.metrics)?;

    startup.begin(Step::Services);
    let mesh = config.mesh.as_ref().map(peer::client).transpose()?;
    let dispatcher = procedures(which, &config, mesh.clone(), startup.drain.clone())?;
    let address = listener.local_addr();
    let policy = checkpoints(&config, &startup);
    policy.tell_expiries(startup.drain.clone());
    let calls = GuardLayer::new(policy.get(config::ENDPOINT)?).layer(dispatcher.into_service());
    let service = Probed { calls, drain: startup.drain.clone() };
    let (guard, drain) = (startup.drain.guard(), startup.drain.clone());
    omnirelay_runtime::spawn("listener", async move {
        listener.serve(tower::service_fn(move |request| service.clone().answer(request)), drain).await;
        drop(guard);
    });
    if let Some(client) = mesh {
        if let Some(directory) = config.mesh.as_ref().and_then(|mesh| mesh.identity.as_ref()) {
            Identity::at(directory).keep(&client, &startup.drain);
        }
        // Who is registered can be called; so this comes after the listener.
        let peer = peer::describe(&config, which.name(), &address);
        let _state = Registration::new(client, peer).spawn(startup.drain.clone());
    }
    startup.ready(&address);
    // A second for the goodbye to the control plane.
    Ok(Running { drain_max: config.listener.limits.drain_max() + Duration::from_secs(1) })
}

fn checkpoints(config: &SampleConfig, startup: &Startup) -> Arc<Checkpoints> {
    let (name, endpoints) = (&config.node.name, [config.endpoint()]);
    Arc::new(Checkpoints::new(name, &config.policy, &endpoints, &startup.metrics, Timestamp::now()))
}

fn procedures(
    which: Which,
    config: &SampleConfig,
    mesh: Option<MeshClient>,
    drain: Drain,
) -> Result<Dispatcher> {
    let dispatcher = Dispatcher::new(which.name(), DESCRIPTOR_SET)?.drain(drain);
    let name = &config.node.name;
    match which {
        Which::Greeter => {
            GreeterServer::register(dispatcher, &Arc::new(greeter::Instance { name: name.clone() }))
        }
        Which::Inventory => {
            let tls = config.mesh.as_ref().map(|mesh| mesh.tls.clone()).unwrap_or_default();
            let ownership = Ownership::new(name, mesh, tls);
            InventoryServer::register(dispatcher, &Arc::new(Stockist { ownership, stock: Stock::default() }))
        }
    }
}

/// The procedures with `/healthz` and `/readyz` beside them.
#[derive(Clone)]
struct Probed {
    calls: Guarded<DispatchService>,
    drain: Drain,
}

impl Probed {
    async fn answer(mut self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (status, word) = match request.uri().path() {
            "/healthz" => (StatusCode::OK, "ok\n"),
            "/readyz" if self.drain.is_draining() => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/readyz" => (StatusCode::OK, "ready\n"),
            _ => return self.calls.call(request).await,
        };
        let mut response = Response::new(body::full(word));
        *response.status_mut() = status;
        Ok(response)
    }
}
