//! HTTP/1.1 and HTTP/2 over TLS over TCP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use omnirelay_runtime::Drain;
use relay_core::Protocol;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use crate::body::Body;
use crate::conn_info::{ConnInfo, PeerIdentity};
use crate::limits::Limits;
use crate::serve::Shared;
use crate::stats::Bound;

/// After a failed accept (no descriptors left) the next try waits as long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the drain begins, then lets those open finish.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    service: S,
    shared: Shared,
    drain: Drain,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let acceptor = TlsAcceptor::from(tls);
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = drain.started() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = shared.admit_connection() else {
            continue;
        };
        let (acceptor, service, shared) = (acceptor.clone(), service.clone(), shared.clone());
        let (guard, drain) = (drain.guard(), drain.clone());
        let serving = async move {
            if let Err(error) = connection(stream, remote, acceptor, service, shared, drain).await {
                debug!(%remote, error, "connection ended");
            }
            drop((place, guard));
        };
        omnirelay_runtime::spawn("tcp-connection", tracker.track_future(serving));
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

async fn connection<S>(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
    service: S,
    shared: Shared,
    drain: Drain,
) -> Result<(), crate::BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let handshake = tokio::time::timeout(shared.limits.handshake_timeout(), acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            shared.stats.refused(Bound::Handshake);
            return Err(error.into());
        }
        Err(_elapsed) => {
            shared.stats.refused(Bound::Handshake);
            return Err("the TLS handshake took too long".into());
        }
    };
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(Protocol::Http2.alpn());
    let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
    let identity = session.peer_certificates().and_then(|chain| PeerIdentity::of(chain.first()?));
    let info = Arc::new(ConnInfo { protocol, remote, local, identity });
    shared.stats.connection(protocol);
    let builder = builder(&shared.limits, http2);
    let service = hyper::service::service_fn(move |request| {
        let (shared, service, info) = (shared.clone(), service.clone(), Arc::clone(&info));
        async move { Ok::<_, Infallible>(shared.call(service, &info, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = drain.started() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn builder(limits: &Limits, http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    // hyper refuses less than 8 KiB for HTTP/1 and reads that much at a time anyway.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout())
        .max_buf_size(header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams_per_connection)
        .max_header_list_size(limits.max_header_bytes)
        .max_pending_accept_reset_streams(Some(64))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .keep_alive_interval(limits.idle_timeout() / 2)
        .keep_alive_timeout(limits.idle_timeout() / 2);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
