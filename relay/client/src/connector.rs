//! What the channel's HTTP/1.1 and HTTP/2 go over: TLS over TCP, and in the clear what stays on this machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use relay_core::Protocol;
use relay_transport::Seldom;
use relay_transport::tls::Trust;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use crate::keep_alive::KeepAlive;
use crate::race;

/// Where a channel's connections go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) connect_timeout: Duration,
    pub(crate) keep_alive: KeepAlive,
    /// Connections over one protocol at most.
    pub(crate) max_connections: usize,
}

/// Where a peer is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Over TLS, or QUIC.
    Remote { host: Arc<str>, port: u16, server_name: ServerName<'static>, trust: Trust },
    /// In the clear.
    Local(Local),
}

/// Where a peer on this machine is.
#[derive(Clone, Debug)]
pub(crate) enum Local {
    Loopback(SocketAddr),
    Unix(Arc<Path>),
}

/// Opens a connection to the channel's one target.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) target: Target,
    pub(crate) tls: TlsConnector,
}

impl Service<Uri> for Connector {
    type Response = PeerIo;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<PeerIo>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await })
    }
}

impl Connector {
    /// Opens a connection to the first of the target's addresses that answers.
    ///
    /// # Errors
    /// None answered in time, or the handshake failed.
    pub(crate) async fn connect(&self) -> io::Result<PeerIo> {
        let timeout = self.target.connect_timeout;
        let connecting = async {
            match &self.target.place {
                Place::Remote { host, port, server_name, trust } => {
                    self.remote(host, *port, server_name, trust).await
                }
                Place::Local(local) => Ok(PeerIo::local(self.local(local).await?)),
            }
        };
        tokio::time::timeout(timeout, connecting).await.map_err(|_elapsed| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {timeout:?}"))
        })?
    }

    async fn remote(
        &self,
        host: &Arc<str>,
        port: u16,
        server_name: &ServerName<'static>,
        trust: &Trust,
    ) -> io::Result<PeerIo> {
        let keep_alive = self.target.keep_alive;
        let trust = trust.watch();
        let addresses = tokio::net::lookup_host((host.as_ref(), port)).await?;
        let won = race::first(race::interleave(addresses), TcpStream::connect).await;
        let stream = won.unwrap_or_else(|| {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")))
        })?;
        stream.set_nodelay(true)?;
        keep_alive.probe(&stream);
        let stream = self.tls.connect(server_name.clone(), stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = certificates.iter().map(|one| one.clone().into_owned()).collect();
        let refused: Arc<AtomicBool> = Arc::default();
        let distrusted = Seldom::new(trust.ended(chain, Arc::clone(&refused)));
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(Protocol::Http2.alpn());
        if is_http2 {
            keep_alive.expect_acknowledgements(stream.get_ref().0);
        }
        let io = Stream::Tls(Box::new(TokioIo::new(stream)));
        Ok(PeerIo { io, is_http2, heard: Arc::default(), refused, distrusted })
    }

    async fn local(&self, local: &Local) -> io::Result<Box<dyn LocalStream>> {
        match local {
            Local::Loopback(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                self.target.keep_alive.probe(&stream);
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Local::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Local::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A connection in the clear.
trait LocalStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> LocalStream for T {}

enum Stream {
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
    Local(TokioIo<Box<dyn LocalStream>>),
}

macro_rules! on_stream {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.io {
            Stream::Tls($stream) => $call,
            Stream::Local($stream) => $call,
        }
    };
}

/// A connection that tells the pool what was negotiated.
pub(crate) struct PeerIo {
    io: Stream,
    is_http2: bool,
    heard: Arc<AtomicU64>,
    refused: Arc<AtomicBool>,
    /// Resolves once the server is believed no more.
    distrusted: Seldom<()>,
}

impl PeerIo {
    fn local(stream: Box<dyn LocalStream>) -> Self {
        Self {
            io: Stream::Local(TokioIo::new(stream)),
            is_http2: false,
            heard: Arc::default(),
            refused: Arc::default(),
            // Who can be reached there is a matter of this machine's own rights.
            distrusted: Seldom::new(std::future::pending()),
        }
    }

    /// How often something was read.
    pub(crate) fn heard(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.heard)
    }

    /// Whether the server is believed no more, so that nothing new goes to it.
    pub(crate) fn refused(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.refused)
    }
}

impl Connection for PeerIo {
    fn connected(&self) -> Connected {
        if self.is_http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for PeerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if Pin::new(&mut self.distrusted).poll(cx).is_ready() {
            // It stays so: every later look ends here as well.
            self.distrusted = Seldom::new(std::future::ready(()));
            let error = "the server's certificate is believed no more";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)));
        }
        let read = ready!(on_stream!(self, io => Pin::new(io).poll_read(cx, buf)));
        self.heard.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl Write for PeerIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Stream::Tls(io) => io.is_write_vectored(),
            Stream::Local(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }
}
