//! A client whose way to the control plane can be cut.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use meshkit_client::{Carrier, MeshClient, Sending, Uncarried};
use relay_client::Channel;
use relay_core::{Protocol, Status};
use relay_transport::Body;

use super::{Bench, Meshkitd, OBSERVER};

/// A channel that can be cut off.
#[derive(Debug)]
pub struct Cut {
    channel: Channel,
    is_cut: AtomicBool,
}

impl Carrier for Cut {
    fn send(&self, request: Request<Body>) -> Sending {
        if self.is_cut.load(Ordering::Relaxed) {
            return Box::pin(async { Err(Uncarried::refused(Status::unavailable("cut off"))) });
        }
        let channel = self.channel.clone();
        Box::pin(async move { Ok(channel.send(request).await?) })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.channel.close())
    }
}

impl Cut {
    /// A client over HTTP/3 that may observe, and what cuts it off.
    pub fn client(bench: &Bench, meshkitd: &Meshkitd) -> (MeshClient, Arc<Self>) {
        let channel = bench.channel(meshkitd, Protocol::Http3, None);
        let cut = Arc::new(Self { channel, is_cut: AtomicBool::new(false) });
        let carrier = Arc::clone(&cut) as Arc<dyn Carrier>;
        (bench.client(meshkitd, Protocol::Http3, OBSERVER).with_carrier(carrier), cut)
    }

    pub fn set(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }
}
