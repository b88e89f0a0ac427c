//! Several meshkitd of one mesh: calls stay with one of them for as long as it answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use relay_client::Outgoing;
use relay_core::Code;
use relay_transport::{Body, respond};

use crate::wire::{Carrier, Sending, Uncarried};

/// Carries calls to one of several control planes that share a store.
///
/// One that gives no answer, or says that it cannot serve, is left for the next in turn, and after the last comes the first. A
/// request that certainly had no effect goes there at once; any other is the caller's to repeat.
#[derive(Clone, Debug)]
pub struct Failover(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Vec<Arc<dyn Carrier>>,
    current: AtomicUsize,
}

impl Failover {
    /// The first is called first.
    #[must_use]
    pub fn new(first: Arc<dyn Carrier>, fallbacks: Vec<Arc<dyn Carrier>>) -> Self {
        let all = std::iter::once(first).chain(fallbacks).collect();
        Self(Arc::new(Inner { all, current: AtomicUsize::new(0) }))
    }
}

impl Inner {
    /// Who is called now.
    fn current(&self) -> (usize, Option<&Arc<dyn Carrier>>) {
        let at = self.current.load(Ordering::Relaxed);
        (at, self.all.get(at))
    }

    /// Leaves one that failed. Calls that failed at the same time leave it once.
    fn leave(&self, failed: usize) {
        let next = (failed + 1) % self.all.len();
        let left = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
        if left.is_ok() && next != failed {
            tracing::info!(endpoint = next, "the control plane does not serve: calling the next one");
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Uncarried> {
        let mut outgoing = Outgoing::new(request).await;
        let mut tried = 0;
        loop {
            tried += 1;
            let (at, Some(carrier)) = self.current() else { return Err(Uncarried::nobody()) };
            let sent = carrier.send(outgoing.request()).await;
            match sent {
                Ok(response) => {
                    if cannot_serve(&response) {
                        self.leave(at);
                    }
                    return Ok(response);
                }
                Err(error) => {
                    if error.is_refusal {
                        return Err(error);
                    }
                    self.leave(at);
                    if !error.is_unsent || tried >= self.all.len() || !outgoing.rewind() {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Whether an answer says that another one is to be asked the next time.
fn cannot_serve(response: &Response<Body>) -> bool {
    let code = respond::read_grpc_status(response.headers()).map(|status| status.code);
    code == Some(Code::Unavailable) || response.status() == StatusCode::SERVICE_UNAVAILABLE
}

impl Carrier for Failover {
    fn send(&self, request: Request<Body>) -> Sending {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.send(request).await })
    }

    /// Says goodbye to the one that is called now, and calls the next one from now on.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let (at, carrier) = self.0.current();
            self.0.leave(at);
            if let Some(carrier) = carrier {
                carrier.close().await;
            }
        })
    }
}

#[cfg(test)]
mod tests;
