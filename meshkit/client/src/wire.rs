//! The channel as the service that generated gRPC clients call.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use relay_client::Channel;
use relay_core::Status;
use relay_transport::{Body, body};
use tower::Service;

use crate::credentials::Credentials;

#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) channel: Channel,
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
            let sent = wire.channel.send(request).await;
            sent.map_err(|error| to_grpc(&Status::from(error)))
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
