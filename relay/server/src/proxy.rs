//! The data plane: from an inbound request to an outbound's answer.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Request, Response};
use relay_client::Outgoing;
use relay_core::{RpcMeta, RpcStyle, Status};
use relay_enforcement::{Checkpoint, guard};
use relay_transport::{Body, body, respond};

use crate::access::{self, AccessLog, Passed};
use crate::outbound::{Outbound, Outward};
use crate::routing::shadow::Original;
use crate::routing::{Destination, Place, Router, fault};
use crate::trace::Tracer;

/// A request of at most so many bytes is read whole, so that another peer can be tried.
const REPLAY_MAX: usize = 64 << 10;

/// The data plane: where calls go, and what they have to pass.
pub(crate) struct Proxy {
    table: ArcSwap<Table>,
    checkpoint: Arc<Checkpoint>,
    tracer: Option<Tracer>,
}

/// Where calls go at one time. A call goes by the one that it met to its end.
pub(crate) struct Table {
    pub(crate) router: Router,
    pub(crate) outbounds: Vec<Arc<Outbound>>,
    pub(crate) access: Option<AccessLog>,
}

impl Proxy {
    pub(crate) fn new(table: Table, checkpoint: Arc<Checkpoint>, tracer: Option<Tracer>) -> Self {
        Self { table: ArcSwap::from_pointee(table), checkpoint, tracer }
    }

    /// Where calls go now.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Calls go by this one from now on.
    pub(crate) fn swap(&self, table: Table) -> Arc<Table> {
        self.table.swap(Arc::new(table))
    }

    /// Answers one request of the data plane.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        let (mut head, body) = request.into_parts();
        let (style, table) = (RpcStyle::of(&head), self.table());
        let record = match (table.access, &self.tracer) {
            (None, None) => None,
            (log, tracer) => access::follow(log, tracer.as_ref(), &mut head, table.router.roll()),
        };
        let (request, told) = (Request::from_parts(head, body), record.is_some());
        let response = match style {
            // It is no call, so there is nothing to decide on: the router says what is missing.
            RpcStyle::Http => answer(&table.router, style, told, request).await,
            _ => {
                guard(&self.checkpoint, request, |request| answer(&table.router, style, told, request)).await
            }
        };
        Ok(match record {
            Some(record) => record.answered(response),
            None => response,
        })
    }
}

async fn answer(router: &Router, style: RpcStyle, told: bool, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut passed = told.then(Passed::default);
    let mut response = forward(router, head, body, &mut passed).await.unwrap_or_else(|status| {
        tracing::debug!(code = %status.code, reason = status.message, "refused");
        respond::status(style, &status)
    });
    if let Some(passed) = passed {
        response.extensions_mut().insert(passed);
    }
    response
}

async fn forward(
    router: &Router,
    mut head: http::request::Parts,
    body: Body,
    passed: &mut Option<Passed>,
) -> Result<Response<Body>, Status> {
    let meta = RpcMeta::of(&head);
    let route = router.route(&meta, &head)?;
    if let Some(passed) = passed {
        passed.route = Some(Arc::clone(&route.name));
    }
    route.admit(&head).await?;
    let place = route.enter(&meta, &head)?;
    let (mut timeout, mut max_timeout) = (meta.timeout?, route.timeout());
    if let Some(injected) = route.inject(|| router.roll()) {
        if let Some(passed) = passed {
            passed.fault = injected.name();
        }
        let most = [timeout, max_timeout].into_iter().flatten().min();
        let waited = fault::suffer(injected, &route.name, most).await?;
        timeout = timeout.map(|timeout| timeout.saturating_sub(waited));
        max_timeout = max_timeout.map(|timeout| timeout.saturating_sub(waited));
    }
    let outbound = match route.destination(&meta, router.roll())? {
        Destination::Outbound(outbound) => outbound,
        Destination::Answer(response) => return Ok(held(*response, place)),
    };
    let procedure = meta.procedure.unwrap_or_default().to_owned();
    let (style, encoding) = (meta.style, meta.encoding);
    let key = outbound.key(&meta, &head);
    let sampled = route.sample(|| router.roll(), &meta, &head);
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let (body, above) = match route.max_request_bytes() {
        Some(max) => bounded(body, length, max).map(|(body, above)| (body, Some(above)))?,
        None => (body, None),
    };
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(HOST);
    // The listener has answered `100 Continue` already.
    head.headers.remove(EXPECT);
    let procedure = route.rewrite(style, procedure, &mut head)?;
    let body = match length.map(usize::try_from) {
        // A small one is read whole, so that any number of peers can be tried, also beside each other.
        Some(Ok(length)) if length <= REPLAY_MAX => {
            body::full(body::collect_limited(body, REPLAY_MAX).await?)
        }
        _ => body,
    };
    let outgoing = Outgoing::new(Request::from_parts(head, body)).await;
    let call = Outward {
        style,
        encoding,
        procedure: &procedure,
        timeout,
        max_timeout,
        key,
        tries: &route.tries,
        told: passed.is_some(),
    };
    let original = Original { style, encoding, procedure: &procedure, timeout, max_timeout };
    let watched = sampled.and_then(|sampled| sampled.send(&original, &outgoing));
    let answered = outbound.call(call, outgoing).await;
    if let Some(place) = &place {
        let own_time = timeout.is_none_or(|asked| max_timeout.is_some_and(|max| max < asked));
        place.answered(style, &answered, own_time);
    }
    if let Some(status) = above.as_ref().and_then(|above| above.get()) {
        return Err(status.clone());
    }
    let mut response = answered?;
    if let Some(watched) = watched {
        response = watched.answered(response);
    }
    strip_hop_by_hop(response.headers_mut());
    response.headers_mut().remove(http::header::ALT_SVC);
    *response.version_mut() = http::Version::default();
    Ok(held(response, place))
}

/// An answer that keeps its place on the route until its body ends.
fn held(response: Response<Body>, place: Option<Place>) -> Response<Body> {
    match place {
        Some(place) => response.map(|body| body::holding(body, place)),
        None => response,
    }
}

/// A request's body of at most `max` bytes, and whether it was above: refused at once where its length says so.
fn bounded(body: Body, length: Option<u64>, max: u64) -> Result<(Body, Arc<OnceLock<Status>>), Status> {
    if length.is_some_and(|length| length > max) {
        return Err(above(max));
    }
    Ok(body::limited(body, max, above))
}

fn above(max: u64) -> Status {
    Status::resource_exhausted(format!("the request's body is above {max} bytes"))
        .with_hint("send less, or raise `limits.max_request_bytes` of the route")
}

/// Removes what is for one hop only (RFC 9110, section 7.6.1). `TE: trailers` stays: gRPC needs it
/// at every hop, and HTTP/2 and HTTP/3 allow it.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if headers.get(TE).is_some_and(|value| value != "trailers") {
        headers.remove(TE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_hop_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("x-other", "1"),
        ] {
            headers.insert(HeaderName::from_static(name), http::HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["te", "x-other"]);
    }
}
