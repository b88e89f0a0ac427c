//! Which route a call takes: compiled once, looked up without allocating.

mod conditions;
pub(crate) mod fault;
mod index;
pub(crate) mod limits;
mod metrics;
mod respond;
mod rewrite;
pub(crate) mod shadow;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Response};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_balance::Dice;
use relay_config::{RouteConfig, route_names};
use relay_core::fault::Injected;
use relay_core::introspect::{self, ProcedureInfo};
use relay_core::{RpcMeta, RpcStyle, Status, headers};
use relay_transport::Body;
use relay_transport::auth::Authenticator;

use crate::outbound::{Outbound, Tries};
use conditions::Conditions;
use index::Index;
use limits::Limits;
pub(crate) use limits::Place;
pub(crate) use metrics::RouteMetrics;
use respond::Respond;
use rewrite::Rewrite;
use shadow::{Sampled, Shadow};
pub(crate) use state::RouteState;

/// The routes; the first in the configuration that takes a call counts.
pub(crate) struct Router {
    routes: Box<[Route]>,
    by_service: Index,
    /// By gRPC service; such routes take all of its methods.
    by_grpc: Index,
    rpc_path: String,
    dice: Dice,
}

/// Where calls go, and what becomes of them on the way.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    pub(crate) config: RouteConfig,
    conditions: Conditions,
    target: Target,
    rewrite: Option<Rewrite>,
    pub(crate) tries: Tries,
    authenticator: Arc<Authenticator>,
    pub(crate) state: Arc<RouteState>,
    limits: Option<Arc<Limits>>,
    shadow: Option<Arc<Shadow>>,
}

/// An outbound with the sum of the weights up to it.
type Share = (u64, Arc<Outbound>);

enum Target {
    Outbounds(Box<[Share]>),
    Respond(Respond),
}

/// Where one call goes.
pub(crate) enum Destination<'a> {
    Outbound(&'a Outbound),
    Answer(Box<Response<Body>>),
}

impl Router {
    /// The routes; one that takes the same calls as one of `before` goes on with what that counted and was ordered.
    ///
    /// # Errors
    /// A route that names no outbound, or what cannot stand in a header.
    pub(crate) fn new(
        routes: &[RouteConfig],
        outbounds: &[Arc<Outbound>],
        rpc_path: &str,
        before: Option<&Self>,
        authenticator: &Arc<Authenticator>,
    ) -> Result<Self> {
        let (mut by_service, mut by_grpc) = (Index::default(), Index::default());
        for (route, index) in routes.iter().zip(0..) {
            by_service.add(&route.service, &route.procedures, index);
            for service in &route.grpc_services {
                by_grpc.add(service, &[], index);
            }
        }
        let route = |(config, name): (&RouteConfig, String)| {
            let mut known = before.into_iter().flat_map(|before| &before.routes);
            let same = known.find(|route| route.config.takes_the_same(config));
            Route::new(name, config, outbounds, same, Arc::clone(authenticator))
        };
        let routes = routes.iter().zip(route_names(routes)).map(route).collect::<Result<_>>()?;
        Ok(Self {
            routes,
            by_service,
            by_grpc,
            rpc_path: rpc_path.to_owned(),
            dice: Dice::new(crate::outbound::seed()),
        })
    }

    /// The route of a call.
    ///
    /// # Errors
    /// What is no call, and `unimplemented` where no route takes it.
    pub(crate) fn route(&self, meta: &RpcMeta<'_>, head: &Parts) -> Result<&Route, Status> {
        let path = head.uri.path();
        match meta.style {
            RpcStyle::Http => Err(Status::not_found(format!("`{path}` is no call"))
                .with_hint("send `Rpc-Service` and `Rpc-Procedure`, or a gRPC content type")),
            RpcStyle::Yarpc if path != self.rpc_path => {
                Err(Status::not_found(format!("calls do not come in at `{path}`"))
                    .with_hint(format!("post them to `{}`", self.rpc_path)))
            }
            RpcStyle::Yarpc | RpcStyle::Grpc => self.find(meta, &head.headers),
        }
    }

    fn find(&self, meta: &RpcMeta<'_>, headers: &HeaderMap) -> Result<&Route, Status> {
        let procedure = meta.procedure.unwrap_or_default();
        let service = meta.service.or_else(|| meta.grpc_service());
        let Some(service) = service else {
            return Err(Status::invalid_argument("the call names no service").with_hint("send `Rpc-Service`"));
        };
        // Who routes for a service, or which group of it is meant, comes before its name (YARPC).
        let named = [headers::RPC_ROUTING_DELEGATE, headers::RPC_ROUTING_KEY];
        let named = named.iter().filter_map(|name| headers.get(name)?.to_str().ok());
        let routed_as = named.into_iter().find(|name| self.by_service.knows(name));
        let takes = |index: u32| {
            let route = self.routes.get(index as usize);
            route.is_some_and(|route| route.conditions.hold(meta, headers))
        };
        let by_name = self.by_service.first(routed_as.unwrap_or(service), procedure, takes);
        let by_grpc = match routed_as {
            Some(_) => None,
            None => meta.grpc_service().and_then(|service| self.by_grpc.first(service, procedure, takes)),
        };
        let first = [by_name, by_grpc].into_iter().flatten().min();
        first.and_then(|index| self.routes.get(index as usize)).ok_or_else(|| {
            let known = self.by_service.knows(service);
            let what = if known {
                format!("`{procedure}` of `{service}`")
            } else {
                format!("the service `{service}`")
            };
            Status::unimplemented(format!("no route leads to {what}"))
                .with_hint("`omnirelay introspect` shows what this relay routes")
        })
    }

    /// 64 random bits.
    pub(crate) fn roll(&self) -> u64 {
        self.dice.roll()
    }

    /// The routes in their order.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What can be called, in the order of the routes.
    pub(crate) fn procedures(&self) -> Vec<ProcedureInfo> {
        let mut procedures = Vec::new();
        for Route { config, .. } in &self.routes {
            let outbound = match &config.respond {
                Some(respond) => format!("({})", respond.code),
                None => config.outbounds().collect::<Vec<_>>().join(","),
            };
            let mut add = |procedure: &str, style: &str| {
                procedures.push(ProcedureInfo {
                    service: config.service.clone(),
                    procedure: procedure.to_owned(),
                    style: style.to_owned(),
                    outbound: outbound.clone(),
                });
            };
            if config.procedures.is_empty() {
                add("*", "yarpc");
            }
            config.procedures.iter().for_each(|procedure| add(procedure, "yarpc"));
            config.grpc_services.iter().for_each(|service| add(&format!("{service}/*"), "grpc"));
        }
        procedures
    }
}

impl Route {
    fn new(
        name: String,
        config: &RouteConfig,
        outbounds: &[Arc<Outbound>],
        before: Option<&Self>,
        authenticator: Arc<Authenticator>,
    ) -> Result<Self> {
        let target = match &config.respond {
            Some(respond) => Target::Respond(Respond::new(respond)),
            None => Target::Outbounds(weighted(config, outbounds)?),
        };
        Ok(Self {
            conditions: Conditions::new(config)?,
            target,
            rewrite: Rewrite::new(config)?,
            tries: Tries::new(config),
            authenticator,
            name: name.into(),
            shadow: config
                .shadow
                .as_ref()
                .map(|shadow| Shadow::new(shadow, outbounds))
                .transpose()?
                .map(Arc::new),
            config: config.clone(),
            state: before.map(|before| Arc::clone(&before.state)).unwrap_or_default(),
            limits: Limits::new(&config.limits, before.and_then(|before| before.limits.as_ref())),
        })
    }

    /// That whoever sent a request may call what this route leads to.
    ///
    /// # Errors
    /// `unauthenticated` or `permission-denied`.
    pub(crate) async fn admit(&self, head: &Parts) -> Result<(), Status> {
        match self.config.allow.as_slice() {
            [] => Ok(()),
            rules => self.authenticator.admit(rules, &head.extensions, &head.headers).await,
        }
    }

    /// Where a call goes, by 64 random bits.
    ///
    /// # Errors
    /// The failure that the route answers with.
    pub(crate) fn destination(&self, meta: &RpcMeta<'_>, random: u64) -> Result<Destination<'_>, Status> {
        let outbounds = match &self.target {
            Target::Respond(respond) => return respond.answer(meta).map(Box::new).map(Destination::Answer),
            Target::Outbounds(outbounds) => outbounds,
        };
        let total = outbounds.last().map_or(1, |(up_to, _)| *up_to).max(1);
        let drawn = random % total;
        let found = outbounds.iter().find(|(up_to, _)| drawn < *up_to);
        let found = found.ok_or_else(|| Status::unavailable("the route leads to no outbound"))?;
        Ok(Destination::Outbound(&found.1))
    }

    /// Changes a request as the route wants it; the procedure that it calls from now on.
    ///
    /// # Errors
    /// A new procedure that cannot be called.
    pub(crate) fn rewrite(
        &self,
        style: RpcStyle,
        procedure: String,
        head: &mut Parts,
    ) -> Result<String, Status> {
        match &self.rewrite {
            Some(rewrite) => rewrite.apply(style, procedure, head),
            None => Ok(procedure),
        }
    }

    /// A place among the route's calls in flight; none where it has no limits.
    ///
    /// # Errors
    /// `resource-exhausted` where a limit leaves no place.
    pub(crate) fn enter(&self, meta: &RpcMeta<'_>, head: &Parts) -> Result<Option<Place>, Status> {
        let Some(limits) = &self.limits else { return Ok(None) };
        limits.enter(&self.state, &self.name, meta, head).map(Some)
    }

    /// What is done on purpose to a call; `None` where it is left alone.
    pub(crate) fn inject(&self, roll: impl FnOnce() -> u64) -> Option<Injected> {
        self.state.faults.inject(self.config.fault.as_ref(), roll)
    }

    /// A call that is to be copied if it is unary, by 64 random bits.
    pub(crate) fn sample(
        &self,
        roll: impl FnOnce() -> u64,
        meta: &RpcMeta<'_>,
        head: &Parts,
    ) -> Option<Sampled<'_>> {
        self.shadow.as_ref()?.sample(&self.state, roll(), meta, head)
    }

    pub(crate) fn introspect(&self) -> introspect::Route {
        let order = self.state.faults.ordered(std::time::Instant::now);
        let fault = order.map(|order| order.fault).or(self.config.fault);
        let refused = self.state.refusals().into_iter();
        let refused = refused.map(|(reason, calls)| introspect::Refused { reason: reason.to_owned(), calls });
        introspect::Route {
            name: self.name.to_string(),
            service: self.config.service.clone(),
            pending: self.limits.is_some().then(|| self.state.pending().into()),
            limit: self.limits.as_ref().and_then(|limits| limits.most()).map(u64::from),
            refused: refused.filter(|refused| refused.calls > 0).collect(),
            fault: fault.filter(|fault| !fault.is_nothing()),
            shadow: self.config.shadow.as_ref().map(|config| self.state.shadow.introspect(config)),
        }
    }

    /// The most bytes of a request's body.
    pub(crate) const fn max_request_bytes(&self) -> Option<u64> {
        self.config.limits.max_request_bytes
    }

    /// How long a call may take at most.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.config.timeout_ms.map(Duration::from_millis)
    }
}

/// The outbounds of a route, each with the sum of the weights up to it.
fn weighted(config: &RouteConfig, outbounds: &[Arc<Outbound>]) -> Result<Box<[Share]>> {
    let mut up_to = 0;
    let weights = config.outbound.iter().map(|_| 1).chain(config.split.iter().map(|split| split.weight));
    let weighted = config.outbounds().zip(weights).map(|(name, weight)| {
        let outbound = outbound(outbounds, name)?;
        up_to += u64::from(weight);
        Ok((up_to, outbound))
    });
    weighted.collect()
}

fn outbound(outbounds: &[Arc<Outbound>], name: &str) -> Result<Arc<Outbound>> {
    outbounds.iter().find(|outbound| outbound.name() == name).map(Arc::clone).ok_or_else(|| {
        OperatorError::new(ErrorKind::Config, format!("no outbound is called `{name}`"))
            .hint("name an `[[outbounds]]` entry in the route")
    })
}

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::try_from(name).map_err(|error| {
        OperatorError::new(ErrorKind::Config, format!("`{name}` is not a header's name"))
            .caused_by(&error)
            .hint("use letters, digits and `-`")
    })
}
