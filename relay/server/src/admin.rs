//! Diagnostics: health for everyone, the rest for those who may.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use omnirelay_runtime::{Drain, Metrics};
use relay_core::introspect::{Inbound, Introspection};
use relay_core::{Scope, Status};
use relay_enforcement::operate::{self, Operations};
use relay_enforcement::{Checkpoint, Checkpoints, control, guard, is_probe};
use relay_transport::auth::Authenticator;
use relay_transport::{Body, ListenerStats, body, respond};

use crate::faults;
use crate::proxy::Proxy;
use crate::routing::Route;

/// A listener as introspection shows it.
pub(crate) struct InboundInfo {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) protocols: Vec<relay_core::Protocol>,
    pub(crate) stats: ListenerStats,
}

/// What the admin listener knows.
pub(crate) struct Admin {
    pub(crate) node: String,
    pub(crate) started: Instant,
    pub(crate) drain: Drain,
    pub(crate) metrics: Metrics,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) operations: Operations,
    pub(crate) inbounds: Vec<InboundInfo>,
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) checkpoints: Arc<Checkpoints>,
}

impl Admin {
    /// Answers one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        let admin = &self;
        let answer = |request: Request<Body>| async move {
            let answer = match admin.operations.answer(&admin.authenticator, request).await {
                Ok(answer) => answer,
                Err(request) if faults::PATHS.contains(&request.uri().path()) => {
                    faults::answer(admin, request).await
                }
                Err(request) => admin.answer(&request.into_parts().0).await,
            };
            answer.unwrap_or_else(|status| respond::problem(&status))
        };
        if is_probe(request.uri().path()) {
            return Ok(answer(request).await);
        }
        Ok(guard(&self.checkpoint, request, answer).await)
    }

    async fn answer(&self, head: &Parts) -> Result<Response<Body>, Status> {
        let path = head.uri.path();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let status = Status::unimplemented(format!("{} is not served at {path}", head.method));
            return Err(status.with_hint("diagnostics are read with GET"));
        }
        match path {
            "/healthz" => return Ok(text(StatusCode::OK, "ok\n")),
            // Who still asks on a connection of before hears of the address, where another process answers.
            "/readyz" if self.drain.is_draining() && !self.drain.is_handed_over() => {
                return Ok(text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"));
            }
            "/readyz" => return Ok(text(StatusCode::OK, "ready\n")),
            _ => {}
        }
        self.authenticator.authorize(&head.extensions, &head.headers, Scope::Observe).await?;
        match path {
            "/metrics" => {
                let mut response = Response::new(body::full(self.metrics.render()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
                Ok(response)
            }
            "/omnirelay/introspect" => json(&self.introspect()),
            _ => {
                let control = control::answer(&self.checkpoints, &head.uri, &head.headers, &self.drain);
                control.unwrap_or_else(|| {
                    Err(Status::not_found(format!("nothing is at {path}")).with_hint(format!(
                        "there are /healthz, /readyz, /metrics, /omnirelay/introspect, {}, {}, {} and {}",
                        control::TRANSPORT_STATS,
                        control::DOWNGRADE_EVENTS,
                        operate::PATHS.join(", "),
                        faults::PATHS.join(", "),
                    )))
                })
            }
        }
    }

    fn introspect(&self) -> Introspection {
        let table = self.proxy.table();
        let inbounds = self.inbounds.iter().map(|inbound| Inbound {
            name: inbound.name.to_owned(),
            address: inbound.address.clone(),
            protocols: inbound.protocols.clone(),
            requests: inbound.stats.requests(),
            in_flight: inbound.stats.in_flight(),
            compressed: inbound.stats.compressions(),
        });
        Introspection {
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            draining: self.drain.is_draining(),
            procedures: table.router.procedures(),
            routes: table.router.routes().iter().map(Route::introspect).collect(),
            inbounds: inbounds.collect(),
            outbounds: table.outbounds.iter().map(|outbound| outbound.introspect()).collect(),
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json(value: &impl serde::Serialize) -> Result<Response<Body>, Status> {
    let document = serde_json::to_vec(value).map_err(|error| Status::internal(error.to_string()))?;
    let mut response = Response::new(body::full(document));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
