//! Copies of unary calls for another outbound: what that answers is compared with what the caller was given, and
//! thrown away. The caller waits for none of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AGE, ALT_SVC, CONTENT_LENGTH, DATE, SERVER, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use relay_client::Outgoing;
use relay_config::{RouteConfig, ShadowConfig};
use relay_core::{Code, Encoding, RpcMeta, RpcStyle, Status, introspect};
use relay_transport::{Body, BoxError, body, respond};
use tokio::sync::oneshot;

use super::limits::code;
use super::{RouteState, header_name};
use crate::outbound::{Outbound, Outward, Tries};

/// Says in a copy that it is one.
const MARK: HeaderName = HeaderName::from_static("omnirelay-shadow");

/// What differs between answers that say the same.
const OF_THE_WAY: [HeaderName; 9] = [
    AGE,
    ALT_SVC,
    CONTENT_LENGTH,
    DATE,
    SERVER,
    VIA,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
];

/// Where copies of a route's calls go.
pub(crate) struct Shadow {
    outbound: Arc<Outbound>,
    percent: u64,
    max_pending: u32,
    max_body: usize,
    ignored: Box<[HeaderName]>,
    tries: Tries,
}

/// What became of copies.
#[derive(Default)]
pub(crate) struct ShadowStats {
    pending: AtomicU32,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Microseconds until the answers that were compared began: of the calls, and of their copies.
    took: [AtomicU64; 2],
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Equal,
    Status,
    Headers,
    Body,
    /// The copy has no answer.
    Failed,
    /// There was no copy, or nothing to compare its answer with.
    Skipped,
}

impl Outcome {
    pub(super) const ALL: [Self; 6] =
        [Self::Equal, Self::Status, Self::Headers, Self::Body, Self::Failed, Self::Skipped];

    const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Status => "different-status",
            Self::Headers => "different-headers",
            Self::Body => "different-body",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A call that is copied if it turns out to be unary.
pub(crate) struct Sampled<'a> {
    shadow: &'a Arc<Shadow>,
    state: &'a Arc<RouteState>,
    key: Option<u64>,
}

/// What a copy has to know of its call.
pub(crate) struct Original<'a> {
    pub(crate) style: RpcStyle,
    pub(crate) encoding: Encoding,
    pub(crate) procedure: &'a str,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_timeout: Option<Duration>,
}

/// A call whose copy is on its way, and waits for its answer to compare with.
pub(crate) struct Watched {
    sender: oneshot::Sender<Answer>,
    style: RpcStyle,
    began: Instant,
    max_body: usize,
}

/// An answer as it is compared.
struct Answer {
    style: RpcStyle,
    status: StatusCode,
    headers: HeaderMap,
    took: Duration,
    body: Vec<Bytes>,
    trailers: HeaderMap,
}

/// A place among the copies in flight.
struct Place(Arc<RouteState>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.shadow.pending.fetch_sub(1, Relaxed);
    }
}

impl Shadow {
    /// # Errors
    /// No such outbound, or a header's name that is none.
    pub(super) fn new(config: &ShadowConfig, outbounds: &[Arc<Outbound>]) -> omnirelay_runtime::Result<Self> {
        let named = config.ignore_headers.iter().map(|name| header_name(name));
        Ok(Self {
            outbound: super::outbound(outbounds, &config.outbound)?,
            percent: config.percent.into(),
            max_pending: config.max_pending,
            max_body: usize::try_from(config.max_body_bytes).unwrap_or(usize::MAX),
            ignored: OF_THE_WAY.into_iter().map(Ok).chain(named).collect::<omnirelay_runtime::Result<_>>()?,
            tries: Tries::new(&RouteConfig::default()),
        })
    }

    /// Whether a call is to be copied, by 64 random bits.
    pub(super) fn sample<'a>(
        self: &'a Arc<Self>,
        state: &'a Arc<RouteState>,
        random: u64,
        meta: &RpcMeta<'_>,
        head: &Parts,
    ) -> Option<Sampled<'a>> {
        let is_drawn = random % 100 < self.percent;
        is_drawn.then(|| Sampled { shadow: self, state, key: self.outbound.key(meta, head) })
    }

    async fn call(&self, call: Outward<'_>, request: Request<Body>) -> Result<Answer, Status> {
        let began = Instant::now();
        let response = self.outbound.call(call, Outgoing::new(request).await).await?;
        let took = began.elapsed();
        let (head, body) = response.into_parts();
        let (body, trailers) = body::collect_with_trailers(body, self.max_body).await?;
        Ok(Answer {
            style: call.style,
            status: head.status,
            headers: head.headers,
            took,
            body: vec![body],
            trailers: trailers.unwrap_or_default(),
        })
    }

    fn compare(&self, answer: &Answer, copy: &Answer) -> Outcome {
        let is_ignored = |name: &HeaderName| self.ignored.contains(name);
        if answer.outcome() != copy.outcome() {
            return Outcome::Status;
        }
        if answer.fields(is_ignored) != copy.fields(is_ignored) {
            return Outcome::Headers;
        }
        let bytes = |body: &[Bytes]| body.iter().flatten().copied().collect::<Vec<u8>>();
        if bytes(&answer.body) == bytes(&copy.body) { Outcome::Equal } else { Outcome::Body }
    }
}

impl Answer {
    /// HTTP's status, and gRPC's or YARPC's.
    fn outcome(&self) -> (StatusCode, Option<Code>) {
        let code = code(self.style, self.status, &self.headers);
        (self.status, code.or_else(|| respond::read_grpc_code(&self.trailers)))
    }

    /// Headers and trailers in an order of their own: transports differ in theirs, and in where gRPC's status is.
    fn fields(&self, is_ignored: impl Fn(&HeaderName) -> bool) -> Vec<(&str, &[u8])> {
        let fields = self.headers.iter().chain(&self.trailers).filter(|(name, _)| !is_ignored(name));
        let mut fields: Vec<_> = fields.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        fields.sort_unstable();
        fields
    }
}

impl Sampled<'_> {
    /// Sends a copy of a unary call on its way, where there is room.
    pub(crate) fn send(self, call: &Original<'_>, outgoing: &Outgoing) -> Option<Watched> {
        let Self { shadow, state, key } = self;
        let message = outgoing.whole()?;
        let place = Place(Arc::clone(state));
        let is_full = state.shadow.pending.fetch_add(1, Relaxed) >= shadow.max_pending;
        if is_full || message.len() > shadow.max_body {
            state.shadow.count(Outcome::Skipped);
            return None;
        }
        let mut request = outgoing.request();
        request.headers_mut().insert(MARK, HeaderValue::from_static("1"));
        let (sender, answered) = oneshot::channel();
        let Original { style, encoding, timeout, max_timeout, .. } = *call;
        let (procedure, shadow, max_body) = (call.procedure.to_owned(), Arc::clone(shadow), shadow.max_body);
        omnirelay_runtime::spawn("shadow", async move {
            let (procedure, tries) = (procedure.as_str(), &shadow.tries);
            let call = Outward { style, encoding, procedure, timeout, max_timeout, key, tries, told: false };
            let (copied, answered) = tokio::join!(shadow.call(call, request), answered);
            place.0.shadow.compared(&shadow, copied, answered.ok());
        });
        Some(Watched { sender, style, began: Instant::now(), max_body })
    }
}

impl Watched {
    /// The call's own answer, which is remembered as it goes by.
    pub(crate) fn answered(self, response: Response<Body>) -> Response<Body> {
        let took = self.began.elapsed();
        let (head, body) = response.into_parts();
        let answer = Answer {
            style: self.style,
            status: head.status,
            headers: head.headers.clone(),
            took,
            body: Vec::new(),
            trailers: HeaderMap::new(),
        };
        let watching = Some((self.sender, answer));
        let mut passing = Passing { body, watching, left: self.max_body };
        passing.look();
        Response::from_parts(head, body::boxed(passing))
    }
}

/// An answer on its way to the caller, whose pieces are kept to compare with.
struct Passing {
    body: Body,
    watching: Option<(oneshot::Sender<Answer>, Answer)>,
    left: usize,
}

impl Passing {
    /// Hands what was seen on as soon as nothing more comes.
    fn look(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some((sender, answer)) = self.watching.take() {
            let _nobody_waits = sender.send(answer);
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some((_, answer)) = &mut self.watching else { return };
        if let Some(trailers) = frame.trailers_ref() {
            answer.trailers = trailers.clone();
            return self.end();
        }
        let data = frame.data_ref().cloned().unwrap_or_default();
        match self.left.checked_sub(data.len()) {
            Some(left) => {
                self.left = left;
                answer.body.push(data);
                self.look();
            }
            // It is too large to be kept.
            None => self.watching = None,
        }
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.keep(frame),
            Some(Err(_)) => self.watching = None,
            None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl ShadowStats {
    fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    fn compared(&self, shadow: &Shadow, copied: Result<Answer, Status>, answered: Option<Answer>) {
        let outcome = match (copied, answered) {
            (Err(status), _) => {
                tracing::debug!(outbound = shadow.outbound.name(), %status, "a copy has no answer");
                Outcome::Failed
            }
            (Ok(_), None) => Outcome::Skipped,
            (Ok(copy), Some(answer)) => {
                for (sum, took) in self.took.iter().zip([answer.took, copy.took]) {
                    sum.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
                }
                let outcome = shadow.compare(&answer, &copy);
                let outbound = shadow.outbound.name();
                tracing::debug!(outbound, outcome = outcome.name(), "a copy was answered");
                outcome
            }
        };
        self.count(outcome);
    }

    /// Copies by what became of them.
    pub(super) fn outcomes(&self) -> [(&'static str, u64); Outcome::ALL.len()] {
        Outcome::ALL.map(|outcome| (outcome.name(), self.outcomes[outcome as usize].load(Relaxed)))
    }

    /// Seconds until the answers that were compared began, in all: of the calls, and of their copies.
    pub(super) fn took(&self) -> [(&'static str, Duration); 2] {
        let [call, copy] = &self.took;
        [("call", call), ("copy", copy)].map(|(name, sum)| (name, Duration::from_micros(sum.load(Relaxed))))
    }

    pub(super) fn introspect(&self, config: &ShadowConfig) -> introspect::Shadow {
        let count = |outcome: Outcome| self.outcomes[outcome as usize].load(Relaxed);
        let different = count(Outcome::Status) + count(Outcome::Headers) + count(Outcome::Body);
        let compared = (count(Outcome::Equal) + different).max(1);
        let [call, copy] = &self.took;
        introspect::Shadow {
            outbound: config.outbound.clone(),
            percent: config.percent,
            pending: self.pending.load(Relaxed).into(),
            equal: count(Outcome::Equal),
            different,
            failed: count(Outcome::Failed),
            skipped: count(Outcome::Skipped),
            call_us: call.load(Relaxed) / compared,
            copy_us: copy.load(Relaxed) / compared,
        }
    }
}
