//! HTTP/1.1 and HTTP/2 over stream sockets: with TLS, or in the clear where that was asked for.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use omnirelay_runtime::Drain;
use relay_core::Protocol;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use crate::address::ListenAddress;
use crate::admission::Handshaking;
use crate::body::{Body, BoxError};
use crate::conn_info::{ConnInfo, PeerIdentity, RemoteAddress};
use crate::http;
use crate::proxy_protocol::{self, Trusted};
use crate::replay::Replay;
use crate::serve::Shared;
use crate::socket::{Door, Gate, Socket};
use crate::stats::Bound;
use crate::tls::{PeerCheck, ServerTls};

/// After a failed accept (no descriptors left) the next try waits as long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How an accepted connection becomes one that speaks HTTP.
pub(crate) struct Setup {
    pub(crate) address: ListenAddress,
    /// Absent in the clear.
    pub(crate) tls: Option<(TlsAcceptor, ServerTls)>,
    /// Whose connections begin with a PROXY header.
    pub(crate) trusted: Option<Trusted>,
    pub(crate) protocols: Vec<Protocol>,
}

/// Accepts connections until the drain begins, then lets those open finish.
pub(crate) async fn serve<S>(
    (door, mut gate): (Arc<Door>, watch::Receiver<Gate>),
    setup: Setup,
    service: S,
    shared: Shared,
    drain: Drain,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let setup = Arc::new(setup);
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = drain.started() => break,
            Ok(()) = gate.changed() => {
                #[cfg(unix)]
                if *gate.borrow_and_update() == Gate::Released {
                    break;
                }
                continue;
            }
            accepted = door.accept(), if *gate.borrow() == Gate::Open => accepted,
        };
        let (socket, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "accept failed");
                // A client that is gone before it was accepted must not hold up the others.
                if !client_is_gone(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let Some((place, handshaking)) = shared.admission.connection() else {
            continue;
        };
        let (setup, service, shared) = (Arc::clone(&setup), service.clone(), shared.clone());
        let (guard, drain) = (drain.guard(), drain.clone());
        let serving = async move {
            if let Err(error) = connection(socket, remote, &setup, service, shared, drain, handshaking).await
            {
                debug!(%remote, error, "connection ended");
            }
            drop((place, guard));
        };
        omnirelay_runtime::spawn("tcp-connection", tracker.track_future(serving));
    }
    drop(door);
    tracker.close();
    tracker.wait().await;
}

fn client_is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}

async fn connection<S>(
    mut socket: Socket,
    mut remote: RemoteAddress,
    setup: &Setup,
    service: S,
    shared: Shared,
    drain: Drain,
    handshaking: Handshaking,
) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let local = socket.local(&setup.address);
    let deadline = tokio::time::Instant::now() + shared.limits().handshake_timeout();
    let mut proxy = None;
    if let (Some(trusted), RemoteAddress::Inet(address)) = (&setup.trusted, remote)
        && trusted.contains(address.ip())
    {
        remote = RemoteAddress::Inet(told_source(&mut socket, address, deadline, &shared).await?);
        proxy = Some(address);
    }
    let _address_place = match remote.inet() {
        Some(address) => match shared.admission.address(address.ip()) {
            Some(place) => Some(place),
            None => return Ok(()),
        },
        None => None,
    };
    let info = |protocol, identity| ConnInfo { protocol, remote, proxy, local, identity };
    match &setup.tls {
        Some((acceptor, tls)) => {
            let mut peer = tls.check();
            let shaken = tokio::time::timeout_at(deadline, acceptor.accept(socket)).await;
            let stream = shaken.map_err(Into::into).and_then(|shaken| shaken.map_err(BoxError::from));
            let stream = stream.inspect_err(|_refused| shared.stats.refused(Bound::Handshake))?;
            let (protocol, identity) = negotiated(&stream, &mut peer)
                .inspect_err(|_refused| shared.stats.refused(Bound::Handshake))?;
            let (io, http2) = begin(stream, &[protocol], &shared).await?;
            drop(handshaking);
            let conn = shared.connected(info(protocol, identity));
            let refused = peer.refused(shared.limits().drain_max());
            http::serve(io, http2, conn, service, shared, drain, refused).await
        }
        None => {
            let (io, http2) = begin(socket, &setup.protocols, &shared).await?;
            drop(handshaking);
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            let conn = shared.connected(info(protocol, None));
            http::serve(io, http2, conn, service, shared, drain, std::future::pending()).await
        }
    }
}

/// The source address that a trusted proxy tells; its own where it speaks for itself.
async fn told_source(
    socket: &mut Socket,
    proxy: SocketAddr,
    deadline: tokio::time::Instant,
    shared: &Shared,
) -> Result<SocketAddr, BoxError> {
    let read = tokio::time::timeout_at(deadline, proxy_protocol::read(socket)).await;
    let told = read.map_err(Into::into).and_then(|told| told);
    let told = told.inspect_err(|_refused| shared.stats.refused(Bound::ProxyProtocol))?;
    Ok(told.unwrap_or(proxy))
}

fn negotiated(
    stream: &TlsStream<Socket>,
    peer: &mut PeerCheck,
) -> Result<(Protocol, Option<PeerIdentity>), rustls::Error> {
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(Protocol::Http2.alpn());
    let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
    let chain: Vec<_> =
        session.peer_certificates().unwrap_or_default().iter().map(|one| one.clone().into_owned()).collect();
    let identity = chain.first().and_then(PeerIdentity::of);
    peer.shown(chain, session.handshake_kind() == Some(HandshakeKind::Resumed))?;
    Ok((protocol, identity))
}

/// Finds out whether a connection speaks HTTP/2. Its preface has a header's time: hyper itself
/// would wait for it for ever.
async fn begin<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    offered: &[Protocol],
    shared: &Shared,
) -> Result<(Replay<T>, bool), BoxError> {
    let stall = shared.limits().send_timeout();
    if !offered.contains(&Protocol::Http2) {
        return Ok((Replay::new(io, stall), false));
    }
    let sniffing = Replay::new(io, stall).sniff();
    let patience = shared.limits().header_timeout();
    let sniffed = tokio::time::timeout(patience, sniffing).await;
    let Ok(sniffed) = sniffed else {
        shared.stats.refused(Bound::HeaderTime);
        return Err("nothing was asked in time".into());
    };
    let (io, http2) = sniffed?;
    // Without the preface, whoever agreed on HTTP/2 hears of its error from HTTP/2.
    Ok((io, http2 || !offered.contains(&Protocol::Http1)))
}
