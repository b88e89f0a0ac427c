//! TLS over TCP for the channel's HTTP/1.1 and HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use relay_core::Protocol;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use crate::race;

/// Where a channel's connections go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) connect_timeout: Duration,
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
        let connecting = async {
            let addresses = tokio::net::lookup_host((target.host.as_ref(), target.port)).await?;
            let won = race::first(race::interleave(addresses), TcpStream::connect).await;
            let stream = won.unwrap_or_else(|| {
                Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", target.host)))
            })?;
            stream.set_nodelay(true)?;
            self.tls.connect(target.server_name.clone(), stream).await
        };
        let timeout = target.connect_timeout;
        let stream = tokio::time::timeout(timeout, connecting).await.map_err(|_elapsed| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no TLS connection within {timeout:?}"))
        })??;
        Ok(TlsIo(TokioIo::new(stream)))
    }
}

/// A TLS connection that tells the pool what was negotiated.
pub(crate) struct TlsIo(TokioIo<TlsStream<TcpStream>>);

impl Connection for TlsIo {
    fn connected(&self) -> Connected {
        let http2 = self.0.inner().get_ref().1.alpn_protocol() == Some(Protocol::Http2.alpn());
        if http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for TlsIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for TlsIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
