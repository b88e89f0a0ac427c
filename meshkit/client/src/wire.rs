//! The channel as the service that generated gRPC clients call.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use relay_client::{Channel, ChannelError};
use relay_core::Status;
use relay_transport::{Body, body};
use tower::Service;

use crate::credentials::Credentials;

/// An answer on its way.
pub type Sending = Pin<Box<dyn Future<Output = Result<Response<Body>, Uncarried>> + Send>>;

/// Why a request got no answer.
#[derive(Clone, Debug)]
pub struct Uncarried {
    /// What the caller is told.
    pub status: Status,
    /// Whether the request certainly had no effect.
    pub is_unsent: bool,
    /// Whether it was refused on this side, so that another control plane would help nobody.
    pub is_refusal: bool,
}

impl Uncarried {
    /// A request that this side does not send.
    #[must_use]
    pub fn refused(status: Status) -> Self {
        Self { status, is_unsent: true, is_refusal: true }
    }

    pub(crate) fn nobody() -> Self {
        Self::refused(Status::internal("there is no control plane to call"))
    }
}

impl From<ChannelError> for Uncarried {
    fn from(error: ChannelError) -> Self {
        Self { is_unsent: error.is_unsent(), is_refusal: false, status: Status::from(error) }
    }
}

impl Carrier for Channel {
    fn send(&self, request: Request<Body>) -> Sending {
        let channel = self.clone();
        Box::pin(async move { Ok(Self::send(&channel, request).await?) })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Self::close(self))
    }
}

/// What carries the calls instead of the channel as it is: one that asks a policy before each of
/// them, say.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// Sends one request. The answer carries [`relay_core::Negotiated`] in its extensions.
    fn send(&self, request: Request<Body>) -> Sending;

    /// Says goodbye to the control plane; later calls connect anew.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) channel: Channel,
    pub(crate) carrier: Option<Arc<dyn Carrier>>,
    pub(crate) credentials: Credentials,
}

impl Service<Request<tonic::body::Body>> for Wire {
    type Response = Response<Body>;
    /// tonic passes its own status through as it is, and makes any other error `unknown`.
    type Error = tonic::Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, tonic::Status>> + Send + 'static>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move {
            let mut request = request.map(body::boxed);
            let authorization = wire.credentials.authorization().await;
            if let Some(value) = authorization.map_err(|status| to_grpc(&status))? {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            let sent = match &wire.carrier {
                Some(carrier) => carrier.send(request).await,
                None => wire.channel.send(request).await.map_err(Uncarried::from),
            };
            sent.map_err(|error| to_grpc(&error.status))
        })
    }
}

fn to_grpc(status: &Status) -> tonic::Status {
    let code = tonic::Code::from(i32::from(status.code.grpc()));
    match &status.hint {
        Some(hint) => tonic::Status::new(code, format!("{}; {hint}", status.message)),
        None => tonic::Status::new(code, &status.message),
    }
}
