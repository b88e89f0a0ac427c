//! The guard as a tower layer, for programs that serve their own procedures.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use relay_transport::Body;
use tower::{Layer, Service, ServiceExt as _};

use crate::checkpoint::Checkpoint;
use crate::inbound::{guard, is_probe};

/// Puts a service behind a checkpoint: what the policy refuses never reaches it, and the rest is
/// counted. Requests for health alone pass whatever the policy says.
#[derive(Clone, Debug)]
pub struct GuardLayer(Arc<Checkpoint>);

impl GuardLayer {
    /// The layer of a checkpoint, as [`Checkpoints::get`](crate::Checkpoints::get) gives it.
    #[must_use]
    pub fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Self(checkpoint)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, service: S) -> Guarded<S> {
        Guarded { checkpoint: Arc::clone(&self.0), service }
    }
}

/// A service behind a checkpoint.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    checkpoint: Arc<Checkpoint>,
    service: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Readiness is the clone's that takes the request.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { checkpoint, service } = self.clone();
        Box::pin(async move {
            if is_probe(request.uri().path()) {
                return service.oneshot(request).await;
            }
            let answer = |request| async move {
                match service.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            };
            Ok(guard(&checkpoint, request, answer).await)
        })
    }
}
