//! Which outbound a call goes to.

use std::sync::Arc;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_config::RouteConfig;
use relay_core::introspect::ProcedureInfo;
use relay_core::{RpcMeta, RpcStyle, Status};

use crate::outbound::Outbound;

/// The routes in order; the first that matches counts.
pub(crate) struct Router {
    routes: Vec<Route>,
    rpc_path: String,
}

struct Route {
    config: RouteConfig,
    outbound: Arc<Outbound>,
}

impl Router {
    pub(crate) fn new(routes: &[RouteConfig], outbounds: &[Arc<Outbound>], rpc_path: &str) -> Result<Self> {
        let routes = routes.iter().map(|config| {
            let outbound = outbounds.iter().find(|outbound| outbound.name() == config.outbound);
            let outbound = outbound.cloned().ok_or_else(|| {
                OperatorError::new(ErrorKind::Config, format!("no outbound is called `{}`", config.outbound))
                    .hint("name an `[[outbounds]]` entry in the route")
            })?;
            Ok(Route { config: config.clone(), outbound })
        });
        Ok(Self { routes: routes.collect::<Result<_>>()?, rpc_path: rpc_path.to_owned() })
    }

    /// Where a call goes.
    pub(crate) fn route(&self, meta: &RpcMeta<'_>, path: &str) -> Result<&Outbound, Status> {
        match meta.style {
            RpcStyle::Http => Err(Status::not_found(format!("`{path}` is no call"))
                .with_hint("send `Rpc-Service` and `Rpc-Procedure`, or a gRPC content type")),
            RpcStyle::Yarpc if path != self.rpc_path => {
                Err(Status::not_found(format!("calls do not come in at `{path}`"))
                    .with_hint(format!("post them to `{}`", self.rpc_path)))
            }
            RpcStyle::Yarpc | RpcStyle::Grpc => self.find(meta),
        }
    }

    fn find(&self, meta: &RpcMeta<'_>) -> Result<&Outbound, Status> {
        let procedure = meta.procedure.unwrap_or_default();
        let service = meta.service.or_else(|| meta.grpc_service());
        let Some(service) = service else {
            return Err(Status::invalid_argument("the call names no service").with_hint("send `Rpc-Service`"));
        };
        let mut known = false;
        for route in &self.routes {
            let by_name = route.config.service == service;
            let by_grpc =
                meta.grpc_service().is_some_and(|it| route.config.grpc_services.iter().any(|one| one == it));
            if !(by_name || by_grpc) {
                continue;
            }
            known = true;
            if by_grpc || route.config.takes(procedure) {
                return Ok(&route.outbound);
            }
        }
        let what =
            if known { format!("`{procedure}` of `{service}`") } else { format!("the service `{service}`") };
        Err(Status::unimplemented(format!("no route leads to {what}"))
            .with_hint("`omnirelay introspect` shows what this relay routes"))
    }

    /// What can be called, in the order of the routes.
    pub(crate) fn procedures(&self) -> Vec<ProcedureInfo> {
        let mut procedures = Vec::new();
        for Route { config, outbound } in &self.routes {
            let mut add = |procedure: &str, style: &str| {
                procedures.push(ProcedureInfo {
                    service: config.service.clone(),
                    procedure: procedure.to_owned(),
                    style: style.to_owned(),
                    outbound: outbound.name().to_owned(),
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
