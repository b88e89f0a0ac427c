//! When a call is tried again, and what an answer says of that.

use std::time::Duration;

use http::Response;
use relay_balance::Backoff;
use relay_client::ChannelError;
use relay_config::RouteConfig;
use relay_core::{Code, RpcStyle, Status, headers};
use relay_transport::{Body, respond};

/// When a route's calls are tried again.
#[derive(Clone, Debug)]
pub(crate) struct Tries {
    pub(super) idempotent: bool,
    pub(super) max: u32,
    /// A bit for each code.
    on: u32,
    pub(super) backoff: Backoff,
    pub(super) try_timeout: Option<Duration>,
    /// After how long without an answer another peer is asked, and how many are.
    pub(super) hedge: Option<(Duration, u32)>,
}

impl Tries {
    pub(crate) fn new(route: &RouteConfig) -> Self {
        let retries = &route.retries;
        Self {
            idempotent: route.idempotent,
            max: retries.max,
            on: retries.on.iter().map(|code| 1 << code.grpc()).sum(),
            backoff: Backoff {
                base: Duration::from_millis(retries.base_ms),
                max: Duration::from_millis(retries.max_ms),
            },
            try_timeout: retries.try_timeout_ms.map(Duration::from_millis),
            hedge: route.hedge.as_ref().map(|hedge| (Duration::from_millis(hedge.after_ms), hedge.max)),
        }
    }

    pub(super) const fn retries_on(&self, code: Code) -> bool {
        self.on & 1 << code.grpc() != 0
    }
}

/// How a try has ended.
pub(super) enum Outcome {
    Answer(Response<Body>),
    /// The peer says that it owns what was asked for no more: it did nothing.
    StaleOwner(Response<Body>),
    /// The peer's status is a failure.
    Failure(Code, Response<Body>),
    NoAnswer(ChannelError),
    /// It took longer than a try may.
    TookTooLong(Duration),
}

impl Outcome {
    /// What the beginning of an answer says. A status in trailers comes too late: the answer is on
    /// its way to the caller by then.
    pub(super) fn of(style: RpcStyle, response: Response<Body>) -> Self {
        let failure = match style {
            RpcStyle::Grpc if response.status().is_success() => respond::read_grpc_status(response.headers())
                .map(|status| status.code)
                .filter(|code| *code != Code::Ok),
            RpcStyle::Grpc => Some(Code::from_http_status_of_grpc(response.status().as_u16())),
            RpcStyle::Yarpc | RpcStyle::Http => {
                respond::read_yarpc_status(response.status(), response.headers()).map(|status| status.code)
            }
        };
        let name = response.headers().get(headers::RPC_ERROR_NAME);
        match failure {
            None => Self::Answer(response),
            Some(_) if name.is_some_and(|name| name == headers::STALE_OWNER) => Self::StaleOwner(response),
            Some(code) => Self::Failure(code, response),
        }
    }

    /// The same outcome with another body, where it has one.
    pub(super) fn map_body(self, change: impl FnOnce(Body) -> Body) -> Self {
        match self {
            Self::Answer(response) => Self::Answer(response.map(change)),
            Self::StaleOwner(response) => Self::StaleOwner(response.map(change)),
            Self::Failure(code, response) => Self::Failure(code, response.map(change)),
            none @ (Self::NoAnswer(_) | Self::TookTooLong(_)) => none,
        }
    }

    /// Whether the request was never whole, which says nothing of the peer.
    pub(super) const fn is_callers_fault(&self) -> bool {
        matches!(self, Self::NoAnswer(error) if error.is_callers())
    }

    /// Whether it is the peer's own fault, rather than an answer that it gave on purpose.
    pub(super) const fn speaks_against_peer(&self) -> bool {
        match self {
            Self::Answer(_) | Self::StaleOwner(_) => false,
            Self::Failure(code, _) => matches!(code, Code::Unavailable | Code::Internal | Code::DataLoss),
            Self::NoAnswer(_) | Self::TookTooLong(_) => true,
        }
    }

    /// Whether the call certainly had no effect.
    pub(super) const fn is_unsent(&self) -> bool {
        match self {
            Self::StaleOwner(_) => true,
            Self::NoAnswer(error) => error.is_unsent(),
            Self::Answer(_) | Self::Failure(..) | Self::TookTooLong(_) => false,
        }
    }

    /// Why the call may be tried again although it may have had an effect.
    pub(super) fn retry_reason(&self, tries: &Tries) -> Option<Why> {
        match self {
            Self::Failure(code, _) if tries.retries_on(*code) => Some(Why::Status),
            Self::NoAnswer(_) if tries.idempotent && !self.is_callers_fault() => Some(Why::Broken),
            Self::TookTooLong(_) if tries.idempotent => Some(Why::Slow),
            _ => None,
        }
    }

    /// What the caller is told where this was the last try.
    ///
    /// # Errors
    /// Where there is no answer.
    pub(super) fn into_result(self) -> Result<Response<Body>, Status> {
        match self {
            Self::Answer(response) | Self::StaleOwner(response) | Self::Failure(_, response) => Ok(response),
            Self::NoAnswer(error) => Err(Status::from(&error)),
            Self::TookTooLong(time) => {
                Err(Status::new(Code::DeadlineExceeded, format!("no answer within {time:?}")).with_hint(
                    "look at the outbound's peers with `omnirelay introspect`, or raise `try_timeout_ms`",
                ))
            }
        }
    }
}

/// Why a call was sent to another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Unsent,
    StaleOwner,
    Status,
    Broken,
    Slow,
    Hedge,
}

impl Why {
    pub(super) const ALL: [Self; 6] =
        [Self::Unsent, Self::StaleOwner, Self::Status, Self::Broken, Self::Slow, Self::Hedge];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::StaleOwner => headers::STALE_OWNER,
            Self::Status => "status",
            Self::Broken => "broken",
            Self::Slow => "slow",
            Self::Hedge => "hedge",
        }
    }
}
