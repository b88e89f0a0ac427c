//! A listener under test and channels to it.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use omnirelay_runtime::{DrainController, Metrics};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::tls::ServerTlsConfig;
use relay_transport::{Body, Limits, Listener, ListenerConfig, ListenerStats, body};
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) ca: Arc<TestCa>,
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) drain: DrainController,
    pub(crate) metrics: Metrics,
    pub(crate) stats: ListenerStats,
    pub(crate) serving: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start<S>(protocols: &[Protocol], limits: Limits, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        Self::with(Arc::new(TestCa::new()), "spiffe://test/server/a", protocols, limits, service)
    }

    /// Another server of the same authority.
    pub(crate) fn sibling<S>(&self, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let spiffe = "spiffe://test/server/b";
        Self::with(Arc::clone(&self.ca), spiffe, &Protocol::ALL, Limits::default(), service)
    }

    fn with<S>(ca: Arc<TestCa>, spiffe: &str, protocols: &[Protocol], limits: Limits, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let metrics = Metrics::default();
        let tls = ca.server_tls(spiffe);
        let (listener, drain) =
            (bind(tls, ([127, 0, 0, 1], 0).into(), protocols, limits, &metrics), DrainController::new());
        let (address, stats) = (listener.local_addr().inet().unwrap(), listener.stats());
        let url = format!("https://localhost:{}", address.port());
        let serving = omnirelay_runtime::spawn("test-server", listener.serve(service, drain.drain()));
        Self { ca, address, url, drain, metrics, stats, serving }
    }

    /// Waits until nobody is connected.
    pub(crate) async fn until_empty(&self) {
        let open = "open_connections{listener=\"test\"} 0\n";
        let empty = async {
            while !self.metrics.render().contains(open) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), empty).await.unwrap();
    }

    /// Starts another server on the same address once this one is gone and has let go of it.
    pub(crate) async fn again<S>(&mut self, service: S)
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let free = async {
            while std::net::UdpSocket::bind(self.address).is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), free).await.unwrap();
        self.metrics = Metrics::default();
        let tls = self.ca.server_tls("spiffe://test/server/a");
        let listener = bind(tls, self.address, &Protocol::ALL, Limits::default(), &self.metrics);
        self.drain = DrainController::new();
        self.stats = listener.stats();
        self.serving = omnirelay_runtime::spawn("test-server", listener.serve(service, self.drain.drain()));
    }

    pub(crate) fn config(&self, protocols: &[Protocol]) -> ChannelConfig {
        let tls = self.ca.client_tls(Some("spiffe://test/client/b"));
        let mut config = ChannelConfig::new(&self.url, tls);
        config.protocols = protocols.to_vec();
        config.connect_timeout = Duration::from_secs(2);
        config
    }

    pub(crate) fn channel(&self, protocols: &[Protocol]) -> Channel {
        Channel::new(&self.config(protocols)).unwrap()
    }

    /// A channel that goes through another address.
    pub(crate) fn channel_by(&self, address: SocketAddr, protocols: &[Protocol]) -> Channel {
        let mut config = self.config(protocols);
        config.endpoint = format!("https://localhost:{}", address.port());
        Channel::new(&config).unwrap()
    }
}

fn bind(
    tls: ServerTlsConfig,
    address: SocketAddr,
    protocols: &[Protocol],
    limits: Limits,
    metrics: &Metrics,
) -> Listener {
    let protocols = protocols.to_vec();
    let config = ListenerConfig { protocols, limits, ..ListenerConfig::new(address, tls) };
    Listener::bind("test", &config, metrics).unwrap()
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(body::empty()).unwrap()
}

pub(crate) fn post(path: &str, content: impl Into<bytes::Bytes>) -> Request<Body> {
    Request::post(path).body(body::full(content)).unwrap()
}

pub(crate) async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// A seed that is told when the test fails; `OMNIRELAY_SEED` sets it.
pub(crate) fn seed(fallback: u64) -> u64 {
    let seed = std::env::var("OMNIRELAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(fallback);
    // libtest shows it where the test fails.
    #[allow(clippy::print_stderr, reason = "a failure has to be repeatable")]
    {
        eprintln!("OMNIRELAY_SEED={seed}");
    }
    seed
}

/// Seeded numbers, by xorshift.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}
