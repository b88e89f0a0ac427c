//! HTTP/3 over QUIC: from a packet to a connection, and from a request to its answer.

mod serving;

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h3::server::RequestResolver;
use http::{Request, Response};
use omnirelay_runtime::Drain;
use relay_core::Protocol;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use crate::body::{Body, BoxError};
use crate::conn_info::{ConnInfo, PeerIdentity, RemoteAddress};
use crate::http3_answer::answer;
use crate::quic::{self, Abandoned, Connection, H3_NO_ERROR};
use crate::serve::{Conn, Shared};
use crate::stats::Bound;
use crate::tls::{PeerCheck, ServerTls};
use serving::Serving;

/// H3_GENERAL_PROTOCOL_ERROR (RFC 9114, section 8.1): none of its own says what is wrong.
const H3_GENERAL_PROTOCOL_ERROR: u32 = 0x101;

/// Accepts connections until the drain begins, then lets those open finish. What `configs` says counts for
/// connections that come.
pub(crate) async fn serve<S>(
    endpoint: quinn::Endpoint,
    mut configs: watch::Receiver<quinn::ServerConfig>,
    tls: ServerTls,
    service: S,
    shared: Shared,
    drain: Drain,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let tracker = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            () = drain.started() => break,
            incoming = endpoint.accept() => incoming,
            Ok(()) = configs.changed() => {
                endpoint.set_server_config(Some(configs.borrow_and_update().clone()));
                continue;
            }
        };
        let Some(incoming) = incoming else { break };
        if incoming.may_retry()
            && !incoming.remote_address_validated()
            && shared.admission.wants_proof_of_address()
        {
            shared.stats.refused(Bound::QuicRetry);
            // What may be retried can be.
            let _asked = incoming.retry();
            continue;
        }
        let Some((place, handshaking)) = shared.admission.connection() else {
            incoming.refuse();
            continue;
        };
        let Some(address_place) = shared.admission.address(incoming.remote_address().ip()) else {
            incoming.refuse();
            continue;
        };
        let (tls, service, shared) = (tls.clone(), service.clone(), shared.clone());
        let (guard, drain) = (drain.guard(), drain.clone());
        let connections = tracker.clone();
        let shaking = async move {
            let (connection, conn, peer) = match handshake(incoming, &tls, &shared).await {
                Ok(established) => established,
                Err(error) => return debug!(error, "no connection came about"),
            };
            drop(handshaking);
            let held = (place, address_place, guard);
            let serving = match Serving::begin(connection, conn, service, shared).await {
                Ok(serving) => serving,
                Err(error) => return debug!(error, "connection ended"),
            };
            // A task of its own: what the beginning needed is not kept as long as the connection.
            let serving = serving.run(drain, peer, held);
            omnirelay_runtime::spawn("h3-connection", connections.track_future(serving));
        };
        omnirelay_runtime::spawn("quic-handshake", tracker.track_future(shaking));
    }
    tracker.close();
    tracker.wait().await;
    endpoint.close(quinn::VarInt::from_u32(H3_NO_ERROR), b"drained");
    endpoint.wait_idle().await;
}

async fn handshake(
    incoming: quinn::Incoming,
    tls: &ServerTls,
    shared: &Shared,
) -> Result<(quinn::Connection, Arc<Conn>, PeerCheck), BoxError> {
    let local_ip = incoming.local_ip();
    let mut peer = tls.check();
    let patience = shared.limits().handshake_timeout();
    let shaken = tokio::time::timeout(patience, incoming.accept()?).await;
    let shaken = shaken.map_err(Into::into).and_then(|shaken| shaken.map_err(BoxError::from));
    let connection = shaken.inspect_err(|_refused| shared.stats.refused(Bound::Handshake))?;
    let remote = connection.remote_address();
    let chain = quic::peer_chain(&connection);
    let identity = chain.first().and_then(PeerIdentity::of);
    // quinn does not tell whether the session was resumed.
    if let Err(error) = peer.shown(chain, true) {
        shared.stats.refused(Bound::Handshake);
        let code = quinn::VarInt::from_u32(H3_GENERAL_PROTOCOL_ERROR);
        connection.close(code, b"the certificate is believed no more");
        return Err(error.into());
    }
    let info = ConnInfo {
        protocol: Protocol::Http3,
        remote: RemoteAddress::Inet(remote),
        proxy: None,
        local: std::net::SocketAddr::new(local_ip.unwrap_or(remote.ip()), 0).into(),
        identity,
    };
    Ok((connection, shared.connected(info), peer))
}

/// Answers a request unless its caller loses interest, in which case the handler is dropped where
/// it stands. A request that is answered at once costs no watching.
fn request<S>(
    resolver: RequestResolver<Connection, Bytes>,
    service: S,
    shared: Shared,
    conn: Arc<Conn>,
    abandoned: Option<Abandoned>,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let given_up = Arc::clone(&conn);
    // In a box of its own: what wraps it is moved several times before it runs.
    let mut answering = Box::pin(answer(resolver, service, shared, conn));
    let mut abandoned = abandoned.unwrap_or_else(|| Box::pin(std::future::pending()));
    poll_fn(move |cx| match answering.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => abandoned.as_mut().poll(cx).map(|()| given_up.given_up()),
    })
}
