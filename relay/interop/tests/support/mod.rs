//! A dispatcher behind a listener on a port of its own.
#![allow(clippy::unwrap_used, dead_code, reason = "test support says by panicking that it failed")]

use std::time::Duration;

use omnirelay_runtime::{DrainController, Metrics};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_rpc::Dispatcher;
use relay_testkit::TestCa;
use relay_transport::{Limits, Listener, ListenerConfig};

/// The protocols that gRPC goes over.
pub(crate) const GRPC: [Protocol; 2] = [Protocol::Http3, Protocol::Http2];

pub(crate) struct Server {
    pub(crate) ca: TestCa,
    pub(crate) url: String,
    pub(crate) metrics: Metrics,
    _drain: DrainController,
}

impl Server {
    pub(crate) fn start(dispatcher: Dispatcher) -> Self {
        Self::bounded(dispatcher, Limits::default())
    }

    pub(crate) fn bounded(dispatcher: Dispatcher, limits: Limits) -> Self {
        let (ca, metrics) = (TestCa::new(), Metrics::default());
        let tls = ca.server_tls("spiffe://test/server/a");
        let config = ListenerConfig { limits, ..ListenerConfig::new(([127, 0, 0, 1], 0), tls) };
        let listener = Listener::bind("test", &config, &metrics).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().port());
        let drain = DrainController::new();
        let serving = listener.serve(dispatcher.into_service(), drain.drain());
        omnirelay_runtime::spawn("test-server", serving);
        Self { ca, url, metrics, _drain: drain }
    }

    /// A channel that speaks one protocol.
    pub(crate) fn channel(&self, protocol: Protocol) -> Channel {
        let mut config = ChannelConfig::new(&self.url, self.ca.client_tls(Some("spiffe://test/client/b")));
        config.protocols = vec![protocol];
        config.connect_timeout = Duration::from_secs(10);
        Channel::new(&config).unwrap()
    }
}

/// Waits for what has to come; the bound is for a test that would hang otherwise.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), event).await;
    assert!(waited.is_ok(), "{what} did not come");
    waited.unwrap()
}
