//! Calls procedures, over any service that carries HTTP.

mod ask;
mod grpc;
mod outgoing;
mod streaming;
mod yarpc;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use relay_core::Status;
use relay_transport::Body;
use tower::{Service, ServiceExt as _};

use crate::DEFAULT_MAX_MESSAGE;
use crate::reply::Reply;

pub use ask::{Ask, StreamAsk};
pub use streaming::Streaming;
pub use yarpc::YarpcClient;

/// A gRPC client over any service that carries HTTP, as `relay_client::Channel` is one, or an
/// in-process [`DispatchService`](crate::DispatchService). Cloning is as cheap as cloning the
/// service.
///
/// Dropping a call, or the stream of its answers, cancels it at the server. Nothing is sent twice.
#[derive(Clone, Debug)]
pub struct Client<S> {
    service: S,
    caller: Option<HeaderValue>,
    timeout: Option<Duration>,
    max_message: usize,
}

/// Anything that carries a call: a cheaply cloned service over HTTP messages whose errors say what
/// became of the call.
pub trait Carrier:
    Service<Request<Body>, Response = Response<Body>, Error: Into<Status>, Future: Send> + Clone + Send + Sync
{
}

impl<S> Carrier for S where
    S: Service<Request<Body>, Response = Response<Body>, Error: Into<Status>, Future: Send>
        + Clone
        + Send
        + Sync
{
}

impl<S: Carrier> Client<S> {
    /// A client without a name and without a deadline.
    pub fn new(service: S) -> Self {
        Self { service, caller: None, timeout: None, max_message: DEFAULT_MAX_MESSAGE }
    }

    /// Says who calls, in `rpc-caller`; a name that cannot stand in a header is not said.
    #[must_use]
    pub fn caller(mut self, name: &str) -> Self {
        self.caller = HeaderValue::from_str(name).ok();
        self
    }

    /// How long calls may take that do not say it themselves.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Takes messages of at most so many bytes; 4 MiB otherwise.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// The service that carries the calls.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// Calls a procedure of one message each way, by its path `/package.Service/Method`.
    ///
    /// # Errors
    /// The procedure's status, or why there is none.
    pub async fn unary<Req, Res>(&self, path: &str, ask: impl Into<Ask<Req>>) -> Result<Reply<Res>, Status>
    where
        Req: Message,
        Res: Message + Default + 'static,
    {
        let ask = ask.into();
        let deadline = ask.timeout.or(self.timeout);
        let (request, cancel) = grpc::one(self, path, ask)?;
        grpc::single(grpc::send(self, request, deadline, cancel).await?).await
    }

    /// Calls a procedure whose answer says only that it was accepted.
    ///
    /// # Errors
    /// As [`Client::unary`].
    pub async fn oneway<Req: Message>(&self, path: &str, ask: impl Into<Ask<Req>>) -> Result<(), Status> {
        // Whatever message is declared for the answer, an accepted call gives an empty one.
        self.unary::<Req, ()>(path, ask).await.map(Reply::into_message)
    }

    /// Calls a procedure that answers with a stream.
    ///
    /// # Errors
    /// What fails before the answer begins.
    pub async fn server_stream<Req, Res>(
        &self,
        path: &str,
        ask: impl Into<Ask<Req>>,
    ) -> Result<Streaming<Res>, Status>
    where
        Req: Message,
        Res: Message + Default + 'static,
    {
        let ask = ask.into();
        let deadline = ask.timeout.or(self.timeout);
        let (request, cancel) = grpc::one(self, path, ask)?;
        grpc::send(self, request, deadline, cancel).await
    }

    /// Calls a procedure that takes a stream. The next message is asked of it once the connection
    /// has room.
    ///
    /// # Errors
    /// As [`Client::unary`].
    pub async fn client_stream<Req, Res>(
        &self,
        path: &str,
        ask: impl StreamAsk<Message = Req>,
    ) -> Result<Reply<Res>, Status>
    where
        Req: Message,
        Res: Message + Default + 'static,
    {
        let ask = ask.into_ask();
        let deadline = ask.timeout.or(self.timeout);
        let (request, cancel) = grpc::many(self, path, ask)?;
        grpc::single(grpc::send(self, request, deadline, cancel).await?).await
    }

    /// Calls a procedure that streams both ways at once. A server may begin its answer only with its
    /// first message: a stream that waits for answers has to give its first message without one.
    ///
    /// # Errors
    /// What fails before the answer begins.
    pub async fn bidi<Req, Res>(
        &self,
        path: &str,
        ask: impl StreamAsk<Message = Req>,
    ) -> Result<Streaming<Res>, Status>
    where
        Req: Message,
        Res: Message + Default + 'static,
    {
        let ask = ask.into_ask();
        let deadline = ask.timeout.or(self.timeout);
        let (request, cancel) = grpc::many(self, path, ask)?;
        grpc::send(self, request, deadline, cancel).await
    }
}

/// Sends a request and waits for the head of its answer.
async fn carry<S: Carrier>(service: &S, request: Request<Body>) -> Result<Response<Body>, Status> {
    service.clone().oneshot(request).await.map_err(Into::into)
}

/// The application's metadata of a call, without what the protocols use.
fn metadata_of(style: relay_core::RpcStyle, headers: HeaderMap, into: &mut HeaderMap) {
    crate::metadata::put(style, headers, into);
}
