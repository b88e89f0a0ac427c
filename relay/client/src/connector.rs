//! TLS over TCP for the channel's HTTP/1.1 and HTTP/2.

use std::io;
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
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use crate::keep_alive::KeepAlive;
use crate::race;

/// Where a channel's connections go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) connect_timeout: Duration,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) trust: Trust,
    /// Connections over one protocol at most.
    pub(crate) max_connections: usize,
}

/// Opens a connection to the channel's one target.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) target: Target,
    pub(crate) tls: TlsConnector,
}

impl Service<Uri> for Connector {
    type Response = TlsIo;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsIo>> + Send>>;

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
    pub(crate) async fn connect(&self) -> io::Result<TlsIo> {
        let target = &self.target;
        let trust = target.trust.watch();
        let connecting = async {
            let addresses = tokio::net::lookup_host((target.host.as_ref(), target.port)).await?;
            let won = race::first(race::interleave(addresses), TcpStream::connect).await;
            let stream = won.unwrap_or_else(|| {
                Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", target.host)))
            })?;
            stream.set_nodelay(true)?;
            target.keep_alive.probe(&stream);
            self.tls.connect(target.server_name.clone(), stream).await
        };
        let timeout = target.connect_timeout;
        let stream = tokio::time::timeout(timeout, connecting).await.map_err(|_elapsed| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no TLS connection within {timeout:?}"))
        })??;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = certificates.iter().map(|one| one.clone().into_owned()).collect();
        let refused: Arc<AtomicBool> = Arc::default();
        let distrusted = Seldom::new(trust.ended(chain, Arc::clone(&refused)));
        let io = TlsIo { io: TokioIo::new(stream), heard: Arc::default(), refused, distrusted };
        if io.is_http2() {
            target.keep_alive.expect_acknowledgements(io.io.inner().get_ref().0);
        }
        Ok(io)
    }
}

/// A TLS connection that tells the pool what was negotiated.
pub(crate) struct TlsIo {
    io: TokioIo<TlsStream<TcpStream>>,
    heard: Arc<AtomicU64>,
    refused: Arc<AtomicBool>,
    /// Resolves once the server is believed no more.
    distrusted: Seldom<()>,
}

impl TlsIo {
    /// How often something was read.
    pub(crate) fn heard(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.heard)
    }

    /// Whether the server is believed no more, so that nothing new goes to it.
    pub(crate) fn refused(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.refused)
    }

    fn is_http2(&self) -> bool {
        self.io.inner().get_ref().1.alpn_protocol() == Some(Protocol::Http2.alpn())
    }
}

impl Connection for TlsIo {
    fn connected(&self) -> Connected {
        if self.is_http2() { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for TlsIo {
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
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.heard.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl Write for TlsIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
