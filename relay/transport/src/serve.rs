//! What every protocol does with a request: bound it, count it, call the service, survive it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response};
use http_body_util::Limited;
use relay_core::{Code, Protocol, RpcMeta, Status};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Service, ServiceExt as _};

use crate::body::{self, Body};
use crate::conn_info::ConnInfo;
use crate::limits::Limits;
use crate::respond;
use crate::stats::{Bound, Held, ListenerStats};

/// What the connections of one listener share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) stats: ListenerStats,
    pub(crate) connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    alt_svc: HeaderValue,
}

impl Shared {
    pub(crate) fn new(limits: &Limits, stats: ListenerStats, udp_port: u16) -> Self {
        let permits =
            |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX >> 3)));
        let alt_svc = HeaderValue::try_from(format!("h3=\":{udp_port}\"; ma=3600"));
        Self {
            connections: permits(limits.max_connections),
            requests: permits(limits.max_requests_in_flight),
            limits: Arc::new(limits.clone()),
            stats,
            alt_svc: alt_svc.unwrap_or(HeaderValue::from_static("clear")),
        }
    }

    /// A place among the connections, or a counted refusal.
    pub(crate) fn admit_connection(&self) -> Option<(OwnedSemaphorePermit, Held)> {
        match Arc::clone(&self.connections).try_acquire_owned() {
            Ok(permit) => Some((permit, self.stats.hold_connection())),
            Err(_full) => {
                self.stats.refused(Bound::Connections);
                None
            }
        }
    }

    /// Calls the service for one request.
    pub(crate) async fn call<S>(
        &self,
        service: S,
        info: &ConnInfo,
        request: Request<impl Into<Incoming>>,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        self.stats.request(info.protocol);
        let (parts, incoming) = request.into_parts();
        let style = RpcMeta::of(&parts).style;
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            self.stats.refused(Bound::RequestsInFlight);
            let busy = Status::new(Code::ResourceExhausted, "too many requests are in flight")
                .with_hint("slow down, or raise `limits.max_requests_in_flight`");
            return respond::status(style, &busy);
        };
        let in_flight = InFlight { _permit: permit, _held: self.stats.hold_request() };
        let limit = usize::try_from(self.limits.max_body_bytes).unwrap_or(usize::MAX);
        let bounded = body::boxed(Limited::new(incoming.into().0, limit));
        let mut request = Request::from_parts(parts, bounded);
        request.extensions_mut().insert(info.clone());
        let answer = AssertUnwindSafe(service.oneshot(request)).catch_unwind().await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_logged_by_the_hook) => {
                self.stats.panicked();
                respond::status(style, &Status::internal("the request failed by a fault of the server"))
            }
        };
        if info.protocol != Protocol::Http3 {
            response.headers_mut().entry(http::header::ALT_SVC).or_insert_with(|| self.alt_svc.clone());
        }
        response.map(|body| body::holding(body, in_flight))
    }
}

/// A request's body before it is bounded.
pub(crate) struct Incoming(pub(crate) Body);

impl From<Body> for Incoming {
    fn from(body: Body) -> Self {
        Self(body)
    }
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(body: hyper::body::Incoming) -> Self {
        Self(body::boxed(body))
    }
}

struct InFlight {
    _permit: OwnedSemaphorePermit,
    _held: Held,
}
