//! What every protocol does with a request: bound it, count it, call the service, survive it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use relay_core::{Code, Protocol, RpcStyle, Status};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use crate::admission::Admission;
use crate::body::{self, Body};
use crate::compress::{Compression, CompressionConfig, Wish};
use crate::conn_info::ConnInfo;
use crate::exchange::Exchange;
use crate::http1::{self, Http1Incoming};
use crate::leftover;
use crate::limits::Limits;
use crate::places::{Places, Taken};
use crate::rate::SharedRate;
use crate::request_body::RequestBody;
use crate::reset::Http2Incoming;
use crate::respond;
use crate::response_body::ResponseBody;
use crate::stats::{Bound, Held, ListenerStats};

/// What the connections of one listener share. Cloning is cheap: each of them keeps some.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Common>);

/// What stands behind [`Shared`].
pub(crate) struct Common {
    limits: ArcSwap<Limits>,
    pub(crate) stats: ListenerStats,
    pub(crate) admission: Admission,
    requests: Arc<Places>,
    compression: ArcSwapOption<Compression>,
    /// Where HTTP/3 is to be found; nothing where it is not served.
    alt_svc: Option<HeaderValue>,
}

/// What the requests of one connection share.
pub(crate) struct Conn {
    pub(crate) info: ConnInfo,
    resets: SharedRate,
    stats: ListenerStats,
    /// Cancelled once the connection has given up too many requests.
    pub(crate) excess: CancellationToken,
}

impl Conn {
    /// Counts a request that was given up before it was answered.
    pub(crate) fn given_up(&self) {
        if self.resets.exceeded() && !self.excess.is_cancelled() {
            self.stats.refused(Bound::Resets);
            self.excess.cancel();
        }
    }
}

impl std::ops::Deref for Shared {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.0
    }
}

impl Shared {
    pub(crate) fn new(
        limits: &Limits,
        compression: Option<&CompressionConfig>,
        stats: ListenerStats,
        udp_port: Option<u16>,
    ) -> Self {
        let alt_svc = udp_port.map(|port| HeaderValue::try_from(format!("h3=\":{port}\"; ma=3600")));
        Self(Arc::new(Common {
            admission: Admission::new(limits, stats.clone()),
            requests: Places::new(limits.max_requests_in_flight),
            limits: ArcSwap::from_pointee(limits.clone()),
            compression: ArcSwapOption::from_pointee(compression.cloned().map(Compression::new)),
            stats,
            alt_svc: alt_svc.and_then(Result::ok),
        }))
    }

    /// The bounds as they are now.
    pub(crate) fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    /// These are the bounds from now on: for requests at once, for what a connection agrees on at its
    /// beginning with those that come.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        self.admission.set(limits);
        self.requests.set(limits.max_requests_in_flight);
        self.limits.store(Arc::new(limits.clone()));
    }

    /// Whether answers are compressed as a configuration says.
    pub(crate) fn compresses(&self, config: Option<&CompressionConfig>) -> bool {
        self.compression.load().as_ref().map(|compression| &compression.config) == config
    }

    /// Answers are compressed so from now on.
    pub(crate) fn set_compression(&self, config: Option<CompressionConfig>) {
        self.compression.store(config.map(|config| Arc::new(Compression::new(config))));
    }

    /// A connection whose handshake is complete.
    pub(crate) fn connected(&self, info: ConnInfo) -> Arc<Conn> {
        self.stats.connection(info.protocol);
        Arc::new(Conn {
            info,
            resets: SharedRate::new(self.limits().max_resets_per_second),
            stats: self.stats.clone(),
            excess: CancellationToken::new(),
        })
    }

    /// Calls the service for one request.
    pub(crate) async fn call<S>(
        &self,
        service: S,
        conn: &Conn,
        exchange: Arc<Exchange>,
        request: Request<impl Into<Incoming>>,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        self.stats.request(conn.info.protocol);
        let (parts, incoming) = request.into_parts();
        let style = RpcStyle::of(&parts);
        if let Some(refusal) = self.refuse_head(conn.info.protocol, style, &parts) {
            return refusal;
        }
        let Some(taken) = Places::take(&self.requests) else {
            self.stats.refused(Bound::RequestsInFlight);
            let busy = Status::new(Code::ResourceExhausted, "too many requests are in flight")
                .with_hint("slow down, or raise `limits.max_requests_in_flight`");
            return respond::status(style, &busy);
        };
        let compression = self.compression.load_full().map(|one| (one, Wish::of(style, &parts)));
        let in_flight = InFlight { _taken: taken, _held: self.stats.hold_request() };
        let (incoming, stats) = (incoming.into().0, self.stats.clone());
        let bounded = RequestBody::new(incoming, Arc::clone(&exchange), style, &self.limits(), stats);
        let (body, leftover) = match conn.info.protocol {
            Protocol::Http1 => {
                let (body, leftover) = leftover::lend(&parts, body::boxed(bounded));
                (body, Some(leftover))
            }
            Protocol::Http2 | Protocol::Http3 => (body::boxed(bounded), None),
        };
        let mut request = Request::from_parts(parts, body);
        request.extensions_mut().insert(conn.info.clone());
        let waiting = Waiting { conn, answered: false };
        let answer = AssertUnwindSafe(service.oneshot(request)).catch_unwind().await;
        waiting.answered();
        exchange.answer();
        if let Some(leftover) = leftover {
            leftover.read().await;
        }
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_logged_by_the_hook) => {
                self.stats.panicked();
                respond::status(style, &Status::internal("the request failed by a fault of the server"))
            }
        };
        if let Some(alt_svc) = &self.alt_svc
            && conn.info.protocol != Protocol::Http3
        {
            response.headers_mut().entry(http::header::ALT_SVC).or_insert_with(|| alt_svc.clone());
        }
        if let Some((compression, wish)) = compression {
            let (answer, is_compressed) = compression.answer(wish, response);
            response = answer;
            if is_compressed {
                self.stats.compressed();
            }
        }
        let (protocol, stats) = (conn.info.protocol, self.stats.clone());
        response.map(|body| body::boxed(ResponseBody::new(body, exchange, protocol, stats, in_flight)))
    }

    fn refuse_head(
        &self,
        protocol: Protocol,
        style: RpcStyle,
        parts: &http::request::Parts,
    ) -> Option<Response<Body>> {
        if protocol == Protocol::Http1
            && let Some(status) = http1::fault(parts)
        {
            self.stats.refused(Bound::Malformed);
            return Some(http1::refuse(&status));
        }
        let target = parts.uri.path_and_query().map(|target| target.as_str().len());
        let limits = self.limits();
        let above = |count: usize, max: u32| u32::try_from(count).map_or(true, |count| count > max);
        let (bound, http, status) = match target {
            // h2 lets a request without path and authority through (RFC 9113, section 8.3.1).
            None if parts.method != Method::CONNECT && parts.uri.authority().is_none() => {
                let status = Status::invalid_argument("the request has no path").with_hint("send `:path`");
                (Bound::Malformed, StatusCode::BAD_REQUEST, status)
            }
            Some(length) if above(length, limits.max_uri_bytes) => {
                let status = Status::new(Code::ResourceExhausted, "path and query are too long")
                    .with_hint("send less, or raise `limits.max_uri_bytes`");
                (Bound::UriBytes, StatusCode::URI_TOO_LONG, status)
            }
            _ if above(parts.headers.len(), limits.max_header_count) => {
                let status = Status::new(Code::ResourceExhausted, "there are too many header fields")
                    .with_hint("send fewer, or raise `limits.max_header_count`");
                (Bound::HeaderCount, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, status)
            }
            _ => return None,
        };
        self.stats.refused(bound);
        let mut response = respond::status(style, &status);
        if style == RpcStyle::Http {
            *response.status_mut() = http;
        }
        Some(response)
    }
}

/// Notices where a request is given up while its service is at work.
struct Waiting<'a> {
    conn: &'a Conn,
    answered: bool,
}

impl Waiting<'_> {
    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // HTTP/3 counts where it notices.
        if !self.answered && self.conn.info.protocol != Protocol::Http3 {
            self.conn.given_up();
        }
    }
}

/// A request's body before it is bounded.
pub(crate) struct Incoming(pub(crate) Body);

impl From<Body> for Incoming {
    fn from(body: Body) -> Self {
        Self(body)
    }
}

impl Incoming {
    /// A body as hyper reads it.
    pub(crate) fn of_hyper(body: hyper::body::Incoming, http2: bool, stats: &ListenerStats) -> Self {
        Self(if http2 {
            Http2Incoming::new(body).into()
        } else {
            Http1Incoming::new(body, stats.clone()).into()
        })
    }
}

struct InFlight {
    _taken: Taken,
    _held: Held,
}
