//! A procedure with its types erased: what layers wrap.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use relay_core::Status;
use tower::{Layer, Service, ServiceExt as _};

use crate::BoxFuture;
use crate::call::Call;
use crate::frame::{Encoded, Frames};
use crate::reply::Control;
use crate::seat::{Running, Seats};

/// How many messages go each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One each way.
    Unary,
    /// One in; the answer says only that it was accepted.
    Oneway,
    /// One in, many out.
    ServerStream,
    /// Many in, one out.
    ClientStream,
    /// Many each way, at once.
    Bidi,
}

impl Shape {
    pub(crate) const fn streams_in(self) -> bool {
        matches!(self, Self::ClientStream | Self::Bidi)
    }

    pub(crate) const fn streams_out(self) -> bool {
        matches!(self, Self::ServerStream | Self::Bidi)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Oneway => "oneway",
            Self::ServerStream => "server-streaming",
            Self::ClientStream => "client-streaming",
            Self::Bidi => "bidirectional",
        }
    }
}

/// A call on its way to its procedure.
#[derive(Debug)]
pub struct RpcRequest {
    /// What is known of it beside its messages.
    pub call: Call,
    /// Its messages, in the encoding of the call.
    pub input: Input,
}

/// The messages of a request.
#[derive(Debug)]
pub enum Input {
    /// Of a procedure that takes one.
    One(Bytes),
    /// Of a procedure that takes many.
    Stream(Box<Frames>),
}

/// A procedure's answer on its way back.
#[derive(Debug)]
pub struct RpcResponse {
    /// The application's own headers, by their plain names.
    pub metadata: HeaderMap,
    /// The application's own trailers.
    pub trailers: HeaderMap,
    /// Whether to compress, where the handler cares.
    pub compressed: Option<bool>,
    /// What a stream adds while it runs.
    pub control: Option<Control>,
    /// The messages, in the encoding of the call.
    pub output: Output,
}

/// What goes beside an answer's messages.
pub(crate) struct Beside {
    pub(crate) metadata: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) compressed: Option<bool>,
    pub(crate) control: Option<Control>,
}

impl RpcResponse {
    pub(crate) fn split(self) -> (Beside, Output) {
        let Self { metadata, trailers, compressed, control, output } = self;
        (Beside { metadata, trailers, compressed, control }, output)
    }
}

/// The messages of an answer, as they come.
pub type Outputs = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;

/// Polls a handler's stream. Its panic goes on to whoever polls the body, where it is counted; polled
/// again, the stream ends in an error, so that the call is answered.
pub(crate) fn poll_output(
    stream: &mut Outputs,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Encoded, Status>>> {
    catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(cx))).unwrap_or_else(|panic| {
        let failed = Err(Status::internal("the call failed by a fault of the server"));
        *stream = Box::pin(futures_util::stream::iter([failed]));
        resume_unwind(panic)
    })
}

/// The messages of an answer.
pub enum Output {
    /// Of a procedure that gives one; empty after oneway.
    One(Encoded),
    /// Of a procedure that gives many.
    Stream(Outputs),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(message) => f.debug_tuple("One").field(&message.len()).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

type Handler = dyn Fn(RpcRequest) -> Running + Send + Sync;

/// A procedure that can be called; a [`tower::Service`], so that any tower layer wraps it. Cloning
/// is cheap.
#[derive(Clone)]
pub struct Procedure(Arc<Handler>);

impl Procedure {
    /// A procedure of a function.
    pub fn new(
        handler: impl Fn(RpcRequest) -> BoxFuture<Result<RpcResponse, Status>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |request| Running::boxed(handler(request))))
    }

    /// A procedure of a function whose future runs where the one before it ran, and so allocates nothing.
    pub(crate) fn seated<Fut>(handler: impl Fn(RpcRequest) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<RpcResponse, Status>> + Send + 'static,
    {
        let seats = Seats::new();
        Self(Arc::new(move |request| seats.run(handler(request))))
    }

    pub(crate) fn run(&self, request: RpcRequest) -> Running {
        (self.0)(request)
    }
}

impl fmt::Debug for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Procedure")
    }
}

impl Service<RpcRequest> for Procedure {
    type Response = RpcResponse;
    type Error = Status;
    type Future = Running;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RpcRequest) -> Running {
        self.run(request)
    }
}

/// A layer that is applied once, when procedures are composed.
pub(crate) type Wrap = Arc<dyn Fn(Procedure) -> Procedure + Send + Sync>;

/// Any tower layer as [`Wrap`].
pub(crate) fn wrap<L>(layer: L) -> Wrap
where
    L: Layer<Procedure> + Send + Sync + 'static,
    L::Service: Service<RpcRequest, Response = RpcResponse, Error = Status> + Clone + Send + Sync + 'static,
    <L::Service as Service<RpcRequest>>::Future: Send,
{
    Arc::new(move |inner| {
        let service = layer.layer(inner);
        Procedure::seated(move |request| service.clone().oneshot(request))
    })
}
