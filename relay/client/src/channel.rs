//! One service, every protocol, the best that works.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use quinn::crypto::rustls::QuicClientConfig;
use relay_core::{DowngradeReason, Negotiated, Protocol};
use relay_transport::tls::{self, ClientTlsConfig};
use relay_transport::{Body, BoxError, body};
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::connector::Connector;
use crate::endpoint::target;
use crate::error::ChannelError;
use crate::http3::{self, Live, Path, PathError, SendError};

/// A peer that was killed says nothing: a connection is given up after so many milliseconds
/// without a packet, and probed often enough that a living peer always sends one.
const DEAD_AFTER_MS: u32 = 9_000;
const PROBE_EVERY: Duration = Duration::from_secs(3);

/// Whom to call and how.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// `https://host:port`; the port defaults to 443.
    pub endpoint: String,
    /// Whom to believe, and who we are.
    pub tls: ClientTlsConfig,
    /// What may be used, most wanted first; the order of http2 and http1 is settled by ALPN.
    pub protocols: Vec<Protocol>,
    /// How long one connection attempt may take.
    pub connect_timeout: Duration,
    /// How long HTTP/3 may take to come up before a call goes over TCP instead, where it may.
    pub hedge_after: Duration,
}

impl ChannelConfig {
    /// HTTP/3 first, then HTTP/2; 5 s to connect; TCP after 300 ms.
    pub fn new(endpoint: impl Into<String>, tls: ClientTlsConfig) -> Self {
        Self {
            endpoint: endpoint.into(),
            tls,
            protocols: vec![Protocol::Http3, Protocol::Http2],
            connect_timeout: Duration::from_secs(5),
            hedge_after: Duration::from_millis(300),
        }
    }
}

/// A channel to one service. Cloning is cheap, and clones share their connections.
///
/// Every response carries [`Negotiated`] in its extensions. Nothing is sent twice: a request is
/// tried again only where it certainly never left.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    endpoint: String,
    authority: Authority,
    wanted: Protocol,
    hedge_after: Duration,
    http3: Option<Arc<Path>>,
    tcp: Option<(Protocol, Client<Connector, Body>)>,
}

impl Channel {
    /// Makes a channel; connections are opened by the first call.
    ///
    /// # Errors
    /// An endpoint that is no `https` URL, no protocol, TLS files that cannot be used.
    pub fn new(config: &ChannelConfig) -> Result<Self> {
        let (authority, target) = target(config)?;
        let Some(wanted) = config.protocols.first().copied() else {
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!("no protocol is allowed for {}", config.endpoint),
            )
            .hint("allow at least one of http3, http2, http1"));
        };
        let http3 = if config.protocols.contains(&Protocol::Http3) {
            Some(Arc::new(Path::new(target.clone(), quic_config(&config.tls)?)))
        } else {
            None
        };
        let over_tcp: Vec<Protocol> =
            config.protocols.iter().copied().filter(|one| *one != Protocol::Http3).collect();
        let tcp = match over_tcp.first() {
            None => None,
            Some(first) => {
                let tls = TlsConnector::from(Arc::new(tls::client_config(&config.tls, &over_tcp)?));
                let client = Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .timer(TokioTimer::new())
                    .pool_max_idle_per_host(64)
                    .http2_only(over_tcp == [Protocol::Http2])
                    .http2_keep_alive_interval(PROBE_EVERY)
                    .http2_keep_alive_timeout(Duration::from_millis(DEAD_AFTER_MS.into()))
                    .http2_initial_stream_window_size(1 << 20)
                    .http2_initial_connection_window_size(8 << 20)
                    .build(Connector { target, tls });
                Some((*first, client))
            }
        };
        Ok(Self(Arc::new(Inner {
            endpoint: config.endpoint.clone(),
            authority,
            wanted,
            hedge_after: config.hedge_after,
            http3,
            tcp,
        })))
    }

    /// Whom the channel calls.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Sends a request; its URI may be a path alone.
    ///
    /// # Errors
    /// No connection, or one that broke; an answer of whatever status is no error.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        self.0.complete_uri(&mut request);
        match &self.0.http3 {
            Some(path) => self.0.over_http3(path, request).await,
            None => self.0.over_tcp(request, None).await,
        }
    }

    /// Says goodbye to the peer, which it takes at most 200 ms for; connections otherwise end by
    /// their idle time. Calls after it connect anew.
    pub async fn close(&self) {
        if let Some(path) = &self.0.http3 {
            path.close(Duration::from_millis(200)).await;
        }
    }
}

impl Inner {
    fn complete_uri(&self, request: &mut Request<Body>) {
        let path = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    async fn over_http3(
        &self,
        path: &Arc<Path>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, ChannelError> {
        // The second round meets a connection that said goodbye between our look and our request.
        for _ in 0..2 {
            let live = match self.http3_connection(path).await {
                Ok(live) => live,
                Err(error) if self.tcp.is_some() => return self.over_tcp(request, Some(error.reason)).await,
                Err(error) => {
                    let source = BoxError::from(error.source.to_string());
                    return Err(self.no_connection(Protocol::Http3, source));
                }
            };
            match http3::send(&live, request).await {
                Ok(mut response) => {
                    self.note(&mut response, Protocol::Http3, None);
                    return Ok(response);
                }
                Err(SendError::Unsent(unsent)) => {
                    path.retire(&live);
                    request = unsent;
                }
                Err(SendError::Refused(error)) => {
                    path.retire(&live);
                    let endpoint = self.endpoint.clone();
                    return Err(ChannelError::Refused {
                        endpoint,
                        protocol: Protocol::Http3,
                        source: error.into(),
                    });
                }
                Err(SendError::Broken(error)) => {
                    let endpoint = self.endpoint.clone();
                    return Err(ChannelError::Broken {
                        endpoint,
                        protocol: Protocol::Http3,
                        source: error.into(),
                    });
                }
            }
        }
        self.over_tcp(request, Some(DowngradeReason::PeerRefused)).await
    }

    /// A connection, unless the path is known to be broken or TCP may answer sooner.
    async fn http3_connection(&self, path: &Arc<Path>) -> Result<Arc<Live>, PathError> {
        if self.tcp.is_none() {
            return path.connection().await;
        }
        let too_slow = |reason| PathError { reason, source: Arc::from(BoxError::from("HTTP/3 is not up")) };
        if let Some(reason) = path.broken() {
            return Err(too_slow(reason));
        }
        match tokio::time::timeout(self.hedge_after, path.connection()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(too_slow(path.last_reason().unwrap_or(DowngradeReason::NoQuicReply))),
        }
    }

    async fn over_tcp(
        &self,
        request: Request<Body>,
        downgrade: Option<DowngradeReason>,
    ) -> Result<Response<Body>, ChannelError> {
        let Some((first, client)) = &self.tcp else {
            return Err(self.no_connection(self.wanted, "the peer closes every connection".into()));
        };
        let response = client.request(request).await.map_err(|error| {
            if error.is_connect() {
                self.no_connection(*first, error.into())
            } else {
                ChannelError::Broken {
                    endpoint: self.endpoint.clone(),
                    protocol: *first,
                    source: error.into(),
                }
            }
        })?;
        let mut response = response.map(body::boxed);
        let protocol = Protocol::of(response.version());
        let downgrade =
            downgrade.or_else(|| (protocol != self.wanted).then_some(DowngradeReason::AlpnMismatch));
        self.note(&mut response, protocol, downgrade);
        Ok(response)
    }

    fn note(&self, response: &mut Response<Body>, protocol: Protocol, downgrade: Option<DowngradeReason>) {
        let downgrade = downgrade.filter(|_| protocol != self.wanted);
        response.extensions_mut().insert(Negotiated { protocol, downgrade });
    }

    fn no_connection(&self, protocol: Protocol, source: BoxError) -> ChannelError {
        ChannelError::Connect { endpoint: self.endpoint.clone(), protocol, source }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, ChannelError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { channel.send(request).await })
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}

fn quic_config(config: &ClientTlsConfig) -> Result<quinn::ClientConfig> {
    let tls = tls::client_config(config, &[Protocol::Http3])?;
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|error| OperatorError::new(ErrorKind::Internal, "QUIC cannot start").caused_by(&error))?;
    let mut transport = quinn::TransportConfig::default();
    transport
        .stream_receive_window(quinn::VarInt::from_u32(1 << 20))
        .receive_window(quinn::VarInt::from_u32(8 << 20))
        .send_window(8 << 20)
        .max_concurrent_bidi_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(quinn::VarInt::from_u32(DEAD_AFTER_MS).into()))
        .keep_alive_interval(Some(PROBE_EVERY));
    let mut quic = quinn::ClientConfig::new(Arc::new(crypto));
    quic.transport_config(Arc::new(transport));
    Ok(quic)
}
