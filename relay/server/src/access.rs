//! What is told of a call once its answer has ended: a line of the access log, and its span. It has what the
//! wire says of a call and never what is in it: no header but those named here, no body, no token.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::{Body as _, Frame, SizeHint};
use relay_config::AccessLogConfig;
use relay_core::{Code, Encoding, Negotiated, Protocol, RpcMeta, RpcStyle};
use relay_transport::{Body, BoxError, ConnInfo, body, respond};

use crate::trace::{Told, Traced, Tracer};

/// The most of a name that a line keeps: names are the caller's to choose.
const NAME_MAX: usize = 128;

/// Which calls are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessLog {
    percent: u64,
    failures: bool,
}

/// Who answered a call, as an extension of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    pub(crate) outbound: String,
    pub(crate) peer: String,
}

/// How a call passed through the relay, as an extension of its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// The route that it took, where there was one.
    pub(crate) route: Option<Arc<str>>,
    /// What was done to it on purpose.
    pub(crate) fault: Option<&'static str>,
}

/// A call that may be told once it has ended, which is when this is dropped.
pub(crate) struct Record {
    began: Instant,
    line: Line,
    trace: Option<Traced>,
    service: String,
    procedure: String,
    caller: String,
    style: RpcStyle,
    encoding: Encoding,
    protocol: Protocol,
    remote: String,
    identity: Option<String>,
    passed: Passed,
    via: Option<Via>,
    upstream: Option<Protocol>,
    /// None while nothing was answered: the caller has gone.
    code: Option<Code>,
    response_bytes: u64,
}

/// Whether a call is told in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Always,
    /// Where it does not end well.
    Failed,
    Never,
}

impl AccessLog {
    pub(crate) fn new(config: &AccessLogConfig) -> Self {
        Self { percent: config.percent.into(), failures: config.failures }
    }

    /// By 64 random bits.
    fn line(self, random: u64) -> Line {
        match self.failures {
            _ if random % 100 < self.percent => Line::Always,
            true => Line::Failed,
            false => Line::Never,
        }
    }
}

/// Begins to follow a call, by 64 random bits; none where it will not be told however it ends. The next hop
/// hears of its trace.
pub(crate) fn follow(
    log: Option<AccessLog>,
    tracer: Option<&Tracer>,
    head: &mut Parts,
    random: u64,
) -> Option<Box<Record>> {
    let trace = tracer.and_then(|tracer| tracer.join(&mut head.headers));
    let line = log.map_or(Line::Never, |log| log.line(random));
    if line == Line::Never && trace.is_none() {
        return None;
    }
    let meta = RpcMeta::of(head);
    let info = head.extensions.get::<ConnInfo>();
    let service = meta.service.or_else(|| meta.grpc_service());
    Some(Box::new(Record {
        began: Instant::now(),
        line,
        trace,
        service: cut(service.unwrap_or_default()),
        procedure: cut(meta.procedure.unwrap_or_else(|| head.uri.path())),
        caller: cut(meta.caller.unwrap_or_default()),
        style: meta.style,
        encoding: meta.encoding,
        protocol: info.map_or_else(|| Protocol::of(head.version), |info| info.protocol),
        remote: info.map(|info| info.remote.to_string()).unwrap_or_default(),
        identity: info.and_then(|info| info.identity.as_ref()).map(|one| one.spiffe().to_owned()),
        passed: Passed::default(),
        via: None,
        upstream: None,
        code: None,
        response_bytes: 0,
    }))
}

fn cut(name: &str) -> String {
    name.get(..name.floor_char_boundary(NAME_MAX)).unwrap_or_default().to_owned()
}

impl Record {
    /// An answer came; the call is told once that has ended.
    pub(crate) fn answered(mut self: Box<Self>, mut response: Response<Body>) -> Response<Body> {
        self.passed = response.extensions_mut().remove().unwrap_or_default();
        self.via = response.extensions_mut().remove();
        self.upstream = response.extensions().get::<Negotiated>().map(|negotiated| negotiated.protocol);
        self.code = match self.style {
            // Where it is not in the headers it is in the trailers, and an answer that ends without is broken.
            RpcStyle::Grpc if response.status().is_success() => {
                Some(respond::read_grpc_code(response.headers()).unwrap_or(Code::Unknown))
            }
            RpcStyle::Grpc => Some(Code::from_http_status_of_grpc(response.status().as_u16())),
            RpcStyle::Yarpc | RpcStyle::Http => {
                let status = respond::read_yarpc_status(response.status(), response.headers());
                Some(status.map_or(Code::Ok, |status| status.code))
            }
        };
        response.map(|body| body::boxed(Answer { body, record: self, ended: false }))
    }
}

impl Record {
    fn log(&self, code: Code) {
        let via = self.via.as_ref();
        tracing::info!(
            target: "omnirelay::access",
            service = self.service,
            procedure = self.procedure,
            caller = self.caller,
            style = style(self.style),
            encoding = self.encoding.name(),
            protocol = self.protocol.name(),
            remote = self.remote,
            identity = self.identity,
            route = self.passed.route.as_deref(),
            fault = self.passed.fault,
            outbound = via.map(|via| via.outbound.as_str()),
            peer = via.map(|via| via.peer.as_str()),
            upstream_protocol = self.upstream.map(Protocol::name),
            trace_id = self.trace.as_ref().map(Traced::trace_id),
            code = code.name(),
            duration_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            response_bytes = self.response_bytes,
            "call"
        );
    }

    /// The span, with the names of OpenTelemetry's semantic conventions where there are such.
    fn end(&self, trace: Traced, code: Code) {
        let via = self.via.as_ref();
        let name = match self.procedure.as_str() {
            "" => self.service.clone(),
            procedure => procedure.to_owned(),
        };
        let texts = [
            ("rpc.system", style(self.style)),
            ("rpc.service", self.service.as_str()),
            ("rpc.method", self.procedure.as_str()),
            ("client.address", self.remote.as_str()),
            ("network.protocol.name", self.protocol.name()),
            ("omnirelay.caller", self.caller.as_str()),
            ("omnirelay.code", code.name()),
            ("omnirelay.route", self.passed.route.as_deref().unwrap_or_default()),
            ("omnirelay.fault", self.passed.fault.unwrap_or_default()),
            ("omnirelay.outbound", via.map_or("", |via| via.outbound.as_str())),
            ("omnirelay.upstream.url", via.map_or("", |via| via.peer.as_str())),
            ("omnirelay.upstream.protocol", self.upstream.map_or("", Protocol::name)),
        ];
        let grpc = ("rpc.grpc.status_code", u64::from(code.grpc()));
        let bytes = ("omnirelay.response.bytes", self.response_bytes);
        let numbers = match self.style {
            RpcStyle::Grpc => &[bytes, grpc][..],
            RpcStyle::Yarpc | RpcStyle::Http => &[bytes],
        };
        // A caller's own mistake is no failure of the server's.
        let failed = code.http_status() >= 500;
        trace.end(Told { name, texts: &texts, numbers, failed });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        if self.line == Line::Always || (self.line == Line::Failed && code != Code::Ok) {
            self.log(code);
        }
        if let Some(trace) = self.trace.take() {
            self.end(trace, code);
        }
    }
}

const fn style(style: RpcStyle) -> &'static str {
    match style {
        RpcStyle::Grpc => "grpc",
        RpcStyle::Yarpc => "yarpc",
        RpcStyle::Http => "http",
    }
}

/// An answer on its way.
struct Answer {
    body: Body,
    record: Box<Record>,
    ended: bool,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            // Nobody waits for the rest.
            self.record.code = Some(Code::Cancelled);
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(piece)) => {
                if let Some(data) = piece.data_ref() {
                    self.record.response_bytes += data.len() as u64;
                }
                if let Some(trailers) = piece.trailers_ref() {
                    self.record.code = respond::read_grpc_code(trailers).or(self.record.code);
                    self.ended = true;
                }
            }
            Some(Err(_)) => {
                self.record.code = Some(Code::Unavailable);
                self.ended = true;
            }
            None => self.ended = true,
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
