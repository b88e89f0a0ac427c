//! A listener under test, and clients as plain as can be.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says by panicking that it failed"
)]

pub(crate) mod h2;
pub(crate) mod h3;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use omnirelay_runtime::{DrainController, Metrics};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::tls::{self, ClientTlsConfig, ServerTls};
use relay_transport::{Body, ConnInfo, ListenAddress, Listener, ListenerConfig, body};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) ca: TestCa,
    pub(crate) address: ListenAddress,
    pub(crate) drain: DrainController,
    pub(crate) metrics: Metrics,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) tls: Option<ServerTls>,
}

impl Server {
    /// Every protocol at a free port, with what `change` changes.
    pub(crate) fn start(change: impl FnOnce(&mut ListenerConfig, &TestCa)) -> Self {
        Self::serving(tower::service_fn(answer), change)
    }

    /// The same with a service of the test's own.
    pub(crate) fn serving<S>(service: S, change: impl FnOnce(&mut ListenerConfig, &TestCa)) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let ca = TestCa::new();
        let mut config = ListenerConfig::new(([127, 0, 0, 1], 0), ca.server_tls("spiffe://test/server"));
        config.quic_workers = 1;
        change(&mut config, &ca);
        let metrics = Metrics::default();
        let listener = Listener::bind("test", &config, &metrics).unwrap();
        let (address, tls) = (listener.local_addr(), listener.tls());
        let drain = DrainController::new();
        let serving = omnirelay_runtime::spawn("test-server", listener.serve(service, drain.drain()));
        Self { ca, address, drain, metrics, serving, tls }
    }

    pub(crate) fn inet(&self) -> SocketAddr {
        self.address.inet().unwrap()
    }

    /// A client that shows `spiffe`'s certificate.
    pub(crate) fn client(&self, spiffe: Option<&str>) -> ClientTlsConfig {
        self.ca.client_tls(spiffe)
    }

    /// TLS to the listener over TCP.
    pub(crate) async fn tls(
        &self,
        client: &ClientTlsConfig,
        protocol: Protocol,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_over(TcpStream::connect(self.inet()).await.unwrap(), client, protocol).await
    }

    pub(crate) async fn tls_over<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: T,
        client: &ClientTlsConfig,
        protocol: Protocol,
    ) -> std::io::Result<TlsStream<T>> {
        let config = tls::client_config(client, &[protocol]).unwrap();
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), io).await
    }

    /// What a metric stands at, by the beginning of its line.
    pub(crate) fn metric(&self, line: &str) -> i64 {
        let rendered = self.metrics.render();
        let found = rendered.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {rendered}"))
    }

    /// How often a bound was met.
    pub(crate) fn refused(&self, bound: &str) -> i64 {
        self.metric(&format!("omnirelay_listener_refused_total{{listener=\"test\",bound=\"{bound}\"}}"))
    }

    /// Waits until a bound has been met `count` times.
    pub(crate) async fn until_refused(&self, bound: &str, count: i64) {
        eventually(|| self.refused(bound) >= count, || format!("{bound}: {}", self.refused(bound))).await;
    }

    /// Waits until no request is in flight.
    pub(crate) async fn until_idle(&self) {
        let in_flight = || self.metric("omnirelay_listener_in_flight{listener=\"test\"}");
        eventually(|| in_flight() == 0, || format!("{} requests are left", in_flight())).await;
    }

    /// Waits until nobody is connected and nothing in flight.
    pub(crate) async fn until_empty(&self) {
        let open = "omnirelay_listener_open_connections{listener=\"test\"}";
        let in_flight = "omnirelay_listener_in_flight{listener=\"test\"}";
        let left = || (self.metric(open), self.metric(in_flight));
        eventually(|| left() == (0, 0), || format!("{:?} connections and requests are left", left())).await;
    }

    /// Asks a good question in every protocol and gets the answer.
    pub(crate) async fn is_healthy(&self) {
        let client = self.client(None);
        let stream = self.tls(&client, Protocol::Http1).await.unwrap();
        assert!(
            http1(stream, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.contains("200 OK")
        );
        let stream = self.tls(&client, Protocol::Http2).await.unwrap();
        assert_eq!(http2(stream, "/").await.unwrap(), "ok");
        let connection = h3::connect(self, &client).await.unwrap();
        assert_eq!(h3::get(&connection, "/").await.unwrap(), "ok");
    }
}

/// Waits for what happens in another task, without a sign to wait for.
pub(crate) async fn eventually(mut is: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(LONG, waiting).await.is_err() {
        panic!("{}", otherwise());
    }
}

/// Answers by path: `/who` with what is known of the caller, `/read` once the body is read, `/thread`
/// with the thread that it runs on, `/never` never, and everything else at once.
pub(crate) async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let text = match request.uri().path() {
        "/who" => {
            let info = request.extensions().get::<ConnInfo>().unwrap();
            let identity = info.identity.as_ref().map_or("nobody", |identity| identity.spiffe());
            let proxy = info.proxy.map(|proxy| proxy.ip().to_string()).unwrap_or_default();
            format!("{} {} {identity} {proxy}", info.protocol, info.remote)
        }
        "/read" => match body::collect_limited(request.into_body(), usize::MAX).await {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(error) => error.message,
        },
        "/thread" => format!("{:?}", std::thread::current().id()),
        "/never" => std::future::pending().await,
        "/long" => "x".repeat(1 << 20),
        _ => "ok".to_owned(),
    };
    Ok(Response::new(body::full(text)))
}

/// Writes `request` and reads until the other side closes or does nothing more.
pub(crate) async fn http1(mut io: impl AsyncRead + AsyncWrite + Unpin, request: impl AsRef<[u8]>) -> String {
    // The other side may close before it has read everything.
    let _cut = io.write_all(request.as_ref()).await;
    read_all(io).await
}

/// Everything until the other side closes.
pub(crate) async fn read_all(mut io: impl AsyncRead + Unpin) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let reading = async {
        while let Ok(count @ 1..) = io.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
    };
    assert!(tokio::time::timeout(LONG, reading).await.is_ok(), "the other side never closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One GET over HTTP/2 by hyper.
pub(crate) async fn http2<T>(io: T, path: &str) -> Result<String, hyper::Error>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
    let _driver = omnirelay_runtime::spawn("h2-client", connection);
    let request = Request::get(format!("https://localhost{path}")).body(Empty::<Bytes>::new()).unwrap();
    let response = send.send_request(request).await?;
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec()).unwrap())
}
