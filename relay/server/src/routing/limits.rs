//! How many of a route's calls may begin and be in flight: of all callers, and of each.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use relay_balance::{
    AdaptiveLimit, AdaptiveRules, Bucket, CallerDenied, Callers, Moment, PerCaller, Rate, Seat,
};
use relay_config::{AdaptiveConfig, CallerKey, RateConfig, RouteLimits};
use relay_core::{Code, RpcMeta, RpcStyle, Status};
use relay_transport::{Body, ConnInfo, PeerIdentity, respond};

use super::state::RouteState;

/// The limits of a route that has some.
pub(crate) struct Limits {
    config: RouteLimits,
    rate: Option<(Rate, Bucket)>,
    adaptive: Option<AdaptiveLimit>,
    per_caller: Option<Table>,
    started: Instant,
}

/// What each caller has.
struct Table {
    by: CallerKey,
    bounds: PerCaller,
    callers: Callers,
    hasher: RandomState,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Rate,
    MaxPending,
    Adaptive,
    CallerRate,
    CallerMaxPending,
}

impl Reason {
    pub(super) const ALL: [Self; 5] =
        [Self::Rate, Self::MaxPending, Self::Adaptive, Self::CallerRate, Self::CallerMaxPending];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::MaxPending => "max-pending",
            Self::Adaptive => "adaptive",
            Self::CallerRate => "caller-rate",
            Self::CallerMaxPending => "caller-max-pending",
        }
    }
}

/// A place among a route's calls in flight, for as long as it is held.
pub(crate) struct Place {
    limits: Arc<Limits>,
    state: Arc<RouteState>,
    seat: Option<Seat>,
    began: Instant,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.pending.fetch_sub(1, Relaxed);
        if let (Some(table), Some(seat)) = (&self.limits.per_caller, self.seat) {
            table.callers.leave(seat);
        }
    }
}

impl Limits {
    /// The limits of a configuration; none where it has none. Those that are what they were go on with what they
    /// learned.
    pub(super) fn new(config: &RouteLimits, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let RouteLimits { max_pending, max_request_bytes: _, rate, per_caller, adaptive } = config;
        if max_pending.is_none() && rate.is_none() && per_caller.is_none() && adaptive.is_none() {
            return None;
        }
        if let Some(before) = before.filter(|before| before.config == *config) {
            return Some(Arc::clone(before));
        }
        Some(Arc::new(Self {
            rate: rate.map(|config| (self::rate(&config), Bucket::default())),
            adaptive: adaptive.map(|config| AdaptiveLimit::new(rules(config))),
            per_caller: per_caller.map(|caller| Table {
                by: caller.by,
                bounds: PerCaller {
                    rate: caller.rate.as_ref().map(self::rate),
                    max_pending: caller.max_pending,
                },
                callers: Callers::default(),
                hasher: RandomState::new(),
            }),
            config: config.clone(),
            started: Instant::now(),
        }))
    }

    /// The most calls in flight for now.
    pub(super) fn most(&self) -> Option<u32> {
        let adaptive = self.adaptive.as_ref().map(AdaptiveLimit::limit);
        [self.config.max_pending, adaptive].into_iter().flatten().min()
    }

    /// A place for a call.
    ///
    /// # Errors
    /// `resource-exhausted`, with the time after which there is one where that is known.
    pub(super) fn enter(
        self: &Arc<Self>,
        state: &Arc<RouteState>,
        route: &str,
        meta: &RpcMeta<'_>,
        head: &Parts,
    ) -> Result<Place, Status> {
        let began = Instant::now();
        let now = Moment::of(self.started, began);
        let pending = state.pending.fetch_add(1, Relaxed);
        let mut place = Place { limits: Arc::clone(self), state: Arc::clone(state), seat: None, began };
        let refused = |reason: Reason, wait: Option<Duration>| {
            state.refused(reason);
            Err(self.refusal(reason, route, wait))
        };
        if self.config.max_pending.is_some_and(|max| pending >= max) {
            return refused(Reason::MaxPending, None);
        }
        if self.adaptive.as_ref().is_some_and(|adaptive| pending >= adaptive.limit()) {
            return refused(Reason::Adaptive, None);
        }
        if let Some(table) = &self.per_caller {
            match table.callers.enter(table.bounds, table.key(meta, head), now) {
                Ok(seat) => place.seat = Some(seat),
                Err(CallerDenied::Rate(wait)) => return refused(Reason::CallerRate, Some(wait)),
                Err(CallerDenied::Pending) => return refused(Reason::CallerMaxPending, None),
            }
        }
        // Last: whom another limit refuses takes nothing of what is there for all.
        match self.rate.as_ref().map(|(rate, bucket)| bucket.take(*rate, now)) {
            Some(Err(wait)) => refused(Reason::Rate, Some(wait)),
            _ => Ok(place),
        }
    }

    fn refusal(&self, reason: Reason, route: &str, wait: Option<Duration>) -> Status {
        let what = match reason {
            Reason::Rate => format!("the route `{route}` takes no more calls now"),
            Reason::CallerRate => format!("the route `{route}` takes no more calls of one caller now"),
            Reason::CallerMaxPending => {
                format!("too many calls of one caller are in flight on the route `{route}`")
            }
            Reason::Adaptive => format!("calls of the route `{route}` take longer than they should"),
            Reason::MaxPending => {
                let max = self.config.max_pending.unwrap_or_default();
                format!("{max} calls are in flight on the route `{route}`")
            }
        };
        let key = match reason {
            Reason::Rate => "rate",
            Reason::MaxPending => "max_pending",
            Reason::Adaptive => "adaptive",
            Reason::CallerRate | Reason::CallerMaxPending => "per_caller",
        };
        let status = Status::resource_exhausted(what);
        match wait {
            Some(wait) => status
                .with_hint(format!(
                    "try again in {} ms, or raise `limits.{key}` of the route",
                    wait.as_micros().div_ceil(1000)
                ))
                .with_retry_after(wait),
            None => status.with_hint(format!("try again later, or raise `limits.{key}` of the route")),
        }
    }
}

fn rate(config: &RateConfig) -> Rate {
    let burst = config.burst.unwrap_or(config.calls);
    Rate::new(config.calls, Duration::from_millis(config.per_ms), burst)
}

const fn rules(config: AdaptiveConfig) -> AdaptiveRules {
    let AdaptiveConfig { min, max, tolerance_percent } = config;
    AdaptiveRules { min, max, tolerance_percent }
}

impl Table {
    fn key(&self, meta: &RpcMeta<'_>, head: &Parts) -> u64 {
        let name = match self.by {
            CallerKey::Caller => meta.caller,
            CallerKey::Identity => {
                let info = head.extensions.get::<ConnInfo>();
                info.and_then(|info| info.identity.as_ref()).map(PeerIdentity::spiffe)
            }
        };
        self.hasher.hash_one(name)
    }
}

impl Place {
    /// The call has its answer, or failed: the adaptive limit learns from that. Where its caller was the one who
    /// said how long it may take, its end by the clock is the caller's doing.
    pub(crate) fn answered(
        &self,
        style: RpcStyle,
        answered: &Result<Response<Body>, Status>,
        own_time: bool,
    ) {
        let Some(adaptive) = &self.limits.adaptive else { return };
        let code = match answered {
            Ok(response) => {
                code(style, response.status(), response.headers()).filter(|code| *code != Code::Ok)
            }
            Err(status) => Some(status.code),
        };
        let (pending, ended) = (self.state.pending.load(Relaxed), Instant::now());
        let took = ended.saturating_duration_since(self.began);
        let now = Moment::of(self.limits.started, ended);
        match code {
            None => adaptive.ended(took, false, pending, now),
            Some(Code::DeadlineExceeded) if !own_time => adaptive.cut_off(took, pending, now),
            Some(Code::DeadlineExceeded | Code::ResourceExhausted | Code::Unavailable) => {
                adaptive.ended(took, true, pending, now);
            }
            // How long it takes to say no says nothing of the rest.
            Some(_) => {}
        }
    }
}

/// What the headers of an answer say of a failure.
pub(super) fn code(style: RpcStyle, status: StatusCode, headers: &HeaderMap) -> Option<Code> {
    match style {
        RpcStyle::Grpc if status.is_success() => respond::read_grpc_code(headers),
        RpcStyle::Grpc => Some(Code::from_http_status_of_grpc(status.as_u16())),
        RpcStyle::Yarpc | RpcStyle::Http => {
            respond::read_yarpc_status(status, headers).map(|status| status.code)
        }
    }
}
