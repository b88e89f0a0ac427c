//! A channel to one endpoint as the service that generated clients call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use relay_client::Channel;
use relay_transport::{Body, body};
use tower::Service;

/// One endpoint, and the token that calls carry.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) channel: Channel,
    pub(crate) token: Option<HeaderValue>,
}

impl Service<Request<tonic::body::Body>> for Wire {
    type Response = Response<Body>;
    /// tonic passes its own status through as it is; the channel's error is its source.
    type Error = tonic::Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, tonic::Status>> + Send + 'static>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move {
            let mut request = request.map(body::boxed);
            let headers = request.headers_mut();
            // A member that lost its leader ends streams then, and does not keep them silent.
            headers.insert("hasleader", HeaderValue::from_static("true"));
            if let Some(token) = wire.token {
                headers.insert("token", token);
            }
            wire.channel.send(request).await.map_err(|error| {
                let mut status = tonic::Status::unavailable(error.to_string());
                status.set_source(Arc::new(error));
                status
            })
        })
    }
}
