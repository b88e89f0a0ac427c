//! One service, every protocol, the best that works.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use quinn::crypto::rustls::QuicClientConfig;
use relay_core::{DowngradeReason, Negotiated, Protocol};
use relay_transport::tls::{self, ClientTlsConfig};
use relay_transport::{Body, BoxError};
use tower::Service;

use crate::connector::Place;
use crate::endpoint::target;
use crate::error::ChannelError;
use crate::http3::{self, Live, Path, SendError, Sockets};
use crate::keep_alive::KeepAlive;
use crate::outgoing::Outgoing;
use crate::pool::MAX_CONNECTIONS;
use crate::tcp::{Tcp, TcpError};

/// Whom to call and how.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// `https://host:port`, whose port defaults to 443; for what is on this machine also `http://127.0.0.1:port` and
    /// `unix:/absolute/path`, which are called in the clear, over the most wanted of HTTP/2 and HTTP/1.1.
    pub endpoint: String,
    /// Whom to believe, and who we are.
    pub tls: ClientTlsConfig,
    /// What may be used, most wanted first; the order of http2 and http1 is settled by ALPN.
    pub protocols: Vec<Protocol>,
    /// How long one connection attempt may take.
    pub connect_timeout: Duration,
    /// How long HTTP/3 may take to come up before a call goes over TCP instead, where it may.
    pub hedge_after: Duration,
    /// When a connection counts as dead.
    pub keep_alive: KeepAlive,
    /// The most connections over HTTP/2 and over HTTP/3 each, at least 1 and by default 4.
    pub max_connections: usize,
    /// Where HTTP/3 leaves from; clones of a configuration share it.
    pub sockets: Sockets,
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
            keep_alive: KeepAlive::default(),
            max_connections: MAX_CONNECTIONS,
            sockets: Sockets::default(),
        }
    }
}

/// How often a request is sent that meets connections which are just being closed.
const MAX_ROUNDS: usize = 4;

/// A channel to one service. Cloning is cheap, and clones share their connections.
///
/// Every response carries [`Negotiated`] in its extensions. A request is sent again only where it
/// certainly had no effect: it never left, the peer says that it did nothing, or carrying it out
/// twice is carrying it out once ([`Idempotent`](crate::Idempotent)).
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    endpoint: String,
    scheme: Scheme,
    authority: Authority,
    wanted: Protocol,
    http3: Option<Arc<Path>>,
    tcp: Option<Arc<Tcp>>,
}

impl Channel {
    /// Makes a channel; connections are opened by the first call.
    ///
    /// # Errors
    /// An endpoint that is no `https` URL, no protocol, TLS files that cannot be used.
    pub fn new(config: &ChannelConfig) -> Result<Self> {
        let (authority, target) = target(config)?;
        let is_local = matches!(target.place, Place::Local(_));
        let mut protocols = config.protocols.clone();
        if is_local {
            // Nothing settles on a protocol in the clear, and QUIC has no such thing.
            protocols.retain(|one| *one != Protocol::Http3);
            protocols.truncate(1);
        }
        let Some(wanted) = protocols.first().copied() else {
            let hint = if is_local {
                "allow http2 or http1: in the clear there is no HTTP/3"
            } else {
                "allow at least one of http3, http2, http1"
            };
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!("no protocol is allowed for {}", config.endpoint),
            )
            .hint(hint));
        };
        let over_tcp: Vec<Protocol> =
            protocols.iter().copied().filter(|one| *one != Protocol::Http3).collect();
        let tcp = Tcp::new(target.clone(), &config.tls, &over_tcp)?.map(Arc::new);
        let http3 = if protocols.contains(&Protocol::Http3) {
            let quic = quic_config(config)?;
            Some(Arc::new(Path::new(target, quic, config.sockets.clone(), tcp.clone(), config.hedge_after)))
        } else {
            None
        };
        let scheme = if is_local { Scheme::HTTP } else { Scheme::HTTPS };
        Ok(Self(Arc::new(Inner { endpoint: config.endpoint.clone(), scheme, authority, wanted, http3, tcp })))
    }

    /// Whom the channel calls.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Sends a request; its URI may be a path alone.
    ///
    /// # Errors
    /// No connection, or one that broke; a body that broke off before the answer came; an answer of whatever status
    /// is no error.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        self.0.complete_uri(&mut request);
        let mut outgoing = Outgoing::new(request).await;
        let sent = match &self.0.http3 {
            Some(path) => self.0.over_http3(path, &mut outgoing).await,
            None => self.0.over_tcp(&mut outgoing, None).await,
        };
        // Whatever came of a request that was never whole.
        match outgoing.broke_off() {
            Some(status) => Err(ChannelError::RequestBody(status)),
            None => sent,
        }
    }

    /// Says goodbye to the peer, which it takes at most 200 ms for; connections otherwise end by
    /// their idle time. Calls after it connect anew.
    pub async fn close(&self) {
        if let Some(tcp) = &self.0.tcp {
            tcp.close();
        }
        if let Some(path) = &self.0.http3 {
            path.close(Duration::from_millis(200)).await;
        }
    }
}

impl Inner {
    fn complete_uri(&self, request: &mut Request<Body>) {
        let path = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    async fn over_http3(
        &self,
        path: &Arc<Path>,
        outgoing: &mut Outgoing,
    ) -> Result<Response<Body>, ChannelError> {
        // Later rounds meet connections that said goodbye between our look and our request.
        for _ in 0..MAX_ROUNDS {
            let live = match path.connection().await {
                Ok(live) => live,
                Err(error) if self.tcp.is_some() => return self.over_tcp(outgoing, Some(error.reason)).await,
                Err(error) => {
                    let source = BoxError::from(error);
                    return Err(self.no_connection(Protocol::Http3, source));
                }
            };
            match self.on_connection(&live, outgoing).await {
                Ok(mut response) => {
                    self.note(&mut response, Protocol::Http3, None);
                    return Ok(response);
                }
                Err(SendError::Unsent) => path.retire(&live),
                Err(SendError::Refused(error)) => {
                    path.retire(&live);
                    if !outgoing.rewind() {
                        return Err(self.refused(Protocol::Http3, error.into()));
                    }
                }
                Err(SendError::Silent) if outgoing.rewind() => {}
                Err(SendError::Silent) => {
                    return Err(self.broken(Protocol::Http3, "no packet was acknowledged".into()));
                }
                // A connection that is gone says nothing of the request; a reset is the peer's answer to it.
                Err(SendError::Broken(_))
                    if live.has_ended() && outgoing.is_idempotent() && outgoing.rewind() => {}
                Err(SendError::Unfit(error)) => return Err(self.refused(Protocol::Http3, error.into())),
                Err(SendError::Broken(error)) => return Err(self.broken(Protocol::Http3, error)),
            }
        }
        self.over_tcp(outgoing, Some(DowngradeReason::PeerRefused)).await
    }

    /// One try; where the connection falls silent meanwhile, a request that may be carried out
    /// twice is given back.
    async fn on_connection(
        &self,
        live: &Arc<Live>,
        outgoing: &Outgoing,
    ) -> Result<Response<Body>, SendError> {
        if self.tcp.is_none() || !outgoing.is_idempotent() {
            return Box::pin(http3::send(live, outgoing)).await;
        }
        tokio::select! {
            biased;
            outcome = Box::pin(http3::send(live, outgoing)) => outcome,
            () = live.fell_silent() => Err(SendError::Silent),
        }
    }

    async fn over_tcp(
        &self,
        outgoing: &mut Outgoing,
        downgrade: Option<DowngradeReason>,
    ) -> Result<Response<Body>, ChannelError> {
        let Some(tcp) = &self.tcp else {
            return Err(self.no_connection(self.wanted, "the peer closes every connection".into()));
        };
        let first = tcp.first();
        for round in 1.. {
            let mut response = match Box::pin(tcp.send(outgoing)).await {
                Ok(response) => response,
                Err(TcpError::Connect(error)) => return Err(self.no_connection(first, error)),
                Err(TcpError::Refused(_)) if round < MAX_ROUNDS && outgoing.rewind() => continue,
                Err(TcpError::Refused(error)) => return Err(self.refused(first, error)),
                Err(TcpError::Broken(error)) => return Err(self.broken(first, error)),
            };
            let protocol = Protocol::of(response.version());
            let downgrade =
                downgrade.or_else(|| (protocol != self.wanted).then_some(DowngradeReason::AlpnMismatch));
            self.note(&mut response, protocol, downgrade);
            return Ok(response);
        }
        Err(self.no_connection(first, "the peer closes every connection".into()))
    }

    fn note(&self, response: &mut Response<Body>, protocol: Protocol, downgrade: Option<DowngradeReason>) {
        let downgrade = downgrade.filter(|_| protocol != self.wanted);
        response.extensions_mut().insert(Negotiated { protocol, downgrade });
    }

    fn no_connection(&self, protocol: Protocol, source: BoxError) -> ChannelError {
        ChannelError::Connect { endpoint: self.endpoint.clone(), protocol, source }
    }

    fn refused(&self, protocol: Protocol, source: BoxError) -> ChannelError {
        ChannelError::Refused { endpoint: self.endpoint.clone(), protocol, source }
    }

    fn broken(&self, protocol: Protocol, source: BoxError) -> ChannelError {
        ChannelError::Broken { endpoint: self.endpoint.clone(), protocol, source }
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

fn quic_config(config: &ChannelConfig) -> Result<quinn::ClientConfig> {
    let tls = tls::client_config(&config.tls, &[Protocol::Http3])?;
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|error| OperatorError::new(ErrorKind::Internal, "QUIC cannot start").caused_by(&error))?;
    let wrong = |error| OperatorError::new(ErrorKind::Config, "`dead_after` is too long").caused_by(&error);
    let dead_after = quinn::IdleTimeout::try_from(config.keep_alive.dead_after).map_err(wrong)?;
    let mut transport = relay_transport::quic::transport_config();
    transport
        .stream_receive_window(quinn::VarInt::from_u32(1 << 20))
        .receive_window(quinn::VarInt::from_u32(8 << 20))
        .send_window(8 << 20)
        .max_concurrent_bidi_streams(0_u32.into())
        .max_concurrent_uni_streams(8_u32.into())
        .max_idle_timeout(Some(dead_after))
        .keep_alive_interval(Some(config.keep_alive.probe_every));
    let mut quic = quinn::ClientConfig::new(Arc::new(crypto));
    quic.transport_config(Arc::new(transport));
    Ok(quic)
}
