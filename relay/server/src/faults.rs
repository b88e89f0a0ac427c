//! Faults as operators see and order them, at `/omnirelay/control/faults`.

use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use relay_core::Status;
use relay_core::fault::{CLEAR_FAULTS, ClearFaults, FAULTS, Faults, OrderFault, RouteFault};
use relay_enforcement::operate;
use relay_transport::Body;

use crate::admin::Admin;
use crate::routing::fault::Order;
use crate::routing::{Route, Router};

/// Everything that is answered here.
pub(crate) const PATHS: [&str; 2] = [FAULTS, CLEAR_FAULTS];

const ORDER: &str = r#"{"route": "greeter", "for_ms": 60000, "fault": {"delay": {"ms": 200, "percent": 5}}}"#;
const CLEAR: &str = r#"{"route": "greeter"}"#;

/// Answers a request to one of [`PATHS`].
///
/// # Errors
/// Who may not, and what cannot be done.
pub(crate) async fn answer(admin: &Admin, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (head, body) = request.into_parts();
    let (method, principal) = operate::authorize(&admin.authenticator, &head).await?;
    let path = head.uri.path();
    match (&method, path) {
        (&Method::GET, FAULTS) => {}
        (&Method::PUT, FAULTS) => {
            order(&admin.proxy.table().router, &principal.id, operate::read(body, ORDER).await?)?;
        }
        (&Method::POST, CLEAR_FAULTS) => {
            clear(&admin.proxy.table().router, &principal.id, &operate::read(body, CLEAR).await?)?;
        }
        _ => {
            let status = Status::unimplemented(format!("{} is not served at {path}", head.method));
            return Err(
                status.with_hint(format!("read {FAULTS} with GET, order with PUT, post to {CLEAR_FAULTS}"))
            );
        }
    }
    let table = admin.proxy.table();
    let routes = table.router.routes().iter().filter_map(told).collect();
    operate::json(StatusCode::OK, &Faults { node: admin.node.clone(), routes })
}

fn order(router: &Router, by: &str, order: OrderFault) -> Result<(), Status> {
    if let Some((problem, remedy)) = order.problem() {
        return Err(Status::invalid_argument(problem).with_hint(remedy));
    }
    let OrderFault { route, for_ms, fault } = order;
    let length = Duration::from_millis(for_ms);
    let until = Timestamp::now().checked_add(length);
    let until = until.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let order = Order { fault, by: by.to_owned(), until, end: Instant::now() + length };
    find(router, &route)?.state.faults.order(Some(order));
    let (delay, abort) = (fault.delay, fault.abort);
    tracing::warn!(by, route, ?delay, ?abort, %until, "a fault was ordered");
    Ok(())
}

fn clear(router: &Router, by: &str, clear: &ClearFaults) -> Result<(), Status> {
    let routes = match &clear.route {
        Some(name) => std::slice::from_ref(find(router, name)?),
        None => router.routes(),
    };
    for route in routes {
        if route.state.faults.order(None).is_some() {
            tracing::warn!(by, route = &*route.name, "an ordered fault was taken back");
        }
    }
    Ok(())
}

fn find<'a>(router: &'a Router, name: &str) -> Result<&'a Route, Status> {
    router.routes().iter().find(|route| *route.name == *name).ok_or_else(|| {
        Status::not_found("no route of this relay has the name")
            .with_hint("`omnirelay introspect` shows the routes and their names")
    })
}

/// What is told of a route; nothing where it never had a fault.
fn told(route: &Route) -> Option<RouteFault> {
    let order = route.state.faults.ordered(Instant::now);
    let configured = route.config.fault;
    let (delayed, aborted) = route.state.faults.counts();
    if order.is_none() && configured.is_none() && (delayed, aborted) == (0, 0) {
        return None;
    }
    Some(RouteFault {
        route: route.name.to_string(),
        fault: order.as_ref().map(|order| order.fault).or(configured).unwrap_or_default(),
        configured,
        by: order.as_ref().map(|order| order.by.clone()),
        until: order.as_ref().map(|order| order.until),
        delayed,
        aborted,
    })
}
