//! HTTP/3 over QUIC.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::{ConnectionError, StreamError};
use h3::quic::SendStream as _;
use h3::server::{RequestResolver, RequestStream};
use http::{Request, Response};
use omnirelay_runtime::Drain;
use relay_core::Protocol;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use crate::admission::Handshaking;
use crate::body::{self, Body, BoxError};
use crate::conn_info::{ConnInfo, PeerIdentity, RemoteAddress};
use crate::quic::{Connection, H3_NO_ERROR, H3_REQUEST_REJECTED, SendStream, Side, message};
use crate::serve::{Conn, Shared};
use crate::stats::Bound;
use crate::tls::ServerTls;

/// Requests that are still accepted after the first GOAWAY: those already on the way.
const GRACE_REQUESTS: usize = 1 << 16;
/// How long "on the way" can take at least before the second, final GOAWAY.
const GRACE_TIME: Duration = Duration::from_millis(100);
/// H3_GENERAL_PROTOCOL_ERROR (RFC 9114, section 8.1): none of its own says what is wrong.
const H3_GENERAL_PROTOCOL_ERROR: u32 = 0x101;
/// H3_EXCESSIVE_LOAD (RFC 9114, section 8.1).
const H3_EXCESSIVE_LOAD: u32 = 0x107;

/// Accepts connections until the drain begins, then lets those open finish.
pub(crate) async fn serve<S>(
    endpoint: quinn::Endpoint,
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
        omnirelay_runtime::spawn(
            "quic-connection",
            tracker.track_future(async move {
                if let Err(error) = handshake(incoming, tls, service, shared, drain, handshaking).await {
                    debug!(error, "connection ended");
                }
                drop((place, address_place, guard));
            }),
        );
    }
    tracker.close();
    tracker.wait().await;
    endpoint.close(quinn::VarInt::from_u32(H3_NO_ERROR), b"drained");
    endpoint.wait_idle().await;
}

async fn handshake<S>(
    incoming: quinn::Incoming,
    tls: ServerTls,
    service: S,
    shared: Shared,
    drain: Drain,
    handshaking: Handshaking,
) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let local_ip = incoming.local_ip();
    let mut peer = tls.check();
    let shaken = tokio::time::timeout(shared.limits.handshake_timeout(), incoming.accept()?).await;
    let shaken = shaken.map_err(Into::into).and_then(|shaken| shaken.map_err(BoxError::from));
    let connection = shaken.inspect_err(|_refused| shared.stats.refused(Bound::Handshake))?;
    drop(handshaking);
    let remote = connection.remote_address();
    let chain = chain(&connection);
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
    let conn = shared.connected(info);
    let unwelcome = peer.refused();
    let ended =
        requests(connection.clone(), Arc::clone(&conn), service, shared.clone(), drain, unwelcome).await;
    match ended {
        Err(error) if error.is_h3_no_error() => Ok(()),
        Err(error) => {
            match connection.close_reason() {
                Some(quinn::ConnectionError::TimedOut) => shared.stats.refused(Bound::Idle),
                _ if conn.excess.is_cancelled() => {}
                _ if matches!(error, ConnectionError::Local { .. }) => {
                    shared.stats.refused(Bound::Malformed);
                }
                _ => {}
            }
            Err(error.into())
        }
        Ok(()) => Ok(()),
    }
}

async fn requests<S>(
    connection: quinn::Connection,
    conn: Arc<Conn>,
    service: S,
    shared: Shared,
    drain: Drain,
    unwelcome: impl Future<Output = ()>,
) -> Result<(), ConnectionError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let quic = Connection::new(connection.clone(), Side::Server);
    let closing = quic.closing();
    let mut h3 = h3::server::builder()
        .max_field_section_size(shared.limits.max_header_bytes.into())
        .send_grease(false)
        .build(quic)
        .await?;

    let requests = TaskTracker::new();
    let most = usize::try_from(shared.limits.max_streams_per_connection).unwrap_or(usize::MAX);
    let mut unwelcome = std::pin::pin!(unwelcome);
    let mut phase = Phase::Serving;
    let mut grace_ends = Instant::now();
    let mut ends = None;
    loop {
        let step = tokio::select! {
            accepted = h3.accept() => Step::Accepted(accepted),
            () = conn.excess.cancelled() => Step::Excess,
            () = drain.started(), if phase == Phase::Serving => Step::FirstGoaway,
            () = &mut unwelcome, if phase == Phase::Serving => Step::Unwelcome,
            () = at(ends) => Step::Overdue,
            () = tokio::time::sleep_until(grace_ends), if phase == Phase::Grace => Step::FinalGoaway,
            () = requests.wait(), if phase == Phase::Finishing => Step::Idle,
        };
        match step {
            Step::Accepted(Ok(Some(mut resolver))) => {
                // A stream that its client has given up makes room for another one, while what it
                // asked for may still be at work.
                if requests.len() >= most {
                    shared.stats.refused(Bound::StreamsPerConnection);
                    resolver.frame_stream.reset(H3_REQUEST_REJECTED.into());
                    continue;
                }
                let task = request(resolver, service.clone(), shared.clone(), Arc::clone(&conn));
                omnirelay_runtime::spawn("h3-request", requests.track_future(task));
            }
            Step::Accepted(Ok(None)) => break,
            Step::Accepted(Err(error)) => return Err(error),
            Step::Excess => {
                let code = quinn::VarInt::from_u32(H3_EXCESSIVE_LOAD);
                connection.close(code, b"too many requests were given up");
                return Ok(());
            }
            Step::Overdue => break,
            Step::FirstGoaway | Step::Unwelcome => {
                if matches!(step, Step::Unwelcome) {
                    ends = Instant::now().checked_add(shared.limits.drain_max());
                }
                closing.begin();
                h3.shutdown(GRACE_REQUESTS).await?;
                grace_ends = Instant::now() + GRACE_TIME.max(3 * connection.rtt());
                phase = Phase::Grace;
            }
            Step::FinalGoaway => {
                h3.shutdown(0).await?;
                requests.close();
                phase = Phase::Finishing;
            }
            Step::Idle => break,
        }
    }
    requests.close();
    tokio::select! {
        () = requests.wait() => {}
        () = at(ends) => {}
    }
    connection.close(quinn::VarInt::from_u32(H3_NO_ERROR), b"");
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Grace,
    Finishing,
}

#[allow(clippy::large_enum_variant, reason = "taken apart where it is made; a box would cost each request")]
enum Step {
    Accepted(Result<Option<RequestResolver<Connection, Bytes>>, ConnectionError>),
    Excess,
    Overdue,
    Unwelcome,
    FirstGoaway,
    FinalGoaway,
    Idle,
}

/// Resolves at a moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn chain(connection: &quinn::Connection) -> Vec<CertificateDer<'static>> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    chain.map(|chain| *chain).unwrap_or_default()
}

async fn request<S>(resolver: RequestResolver<Connection, Bytes>, service: S, shared: Shared, conn: Arc<Conn>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
{
    let resolved = tokio::time::timeout(shared.limits.header_timeout(), resolver.resolve_request()).await;
    let (request, stream) = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            match &error {
                StreamError::RemoteTerminate { .. } => conn.given_up(),
                StreamError::HeaderTooBig { .. } => shared.stats.refused(Bound::HeaderBytes),
                StreamError::StreamError { .. } => shared.stats.refused(Bound::Malformed),
                _ => {}
            }
            return debug!(%error, "request refused");
        }
        Err(_elapsed) => {
            shared.stats.refused(Bound::HeaderTime);
            return debug!("request headers took too long");
        }
    };
    let (mut send, recv) = stream.split();
    let request = request.map(|()| body::boxed(message::Incoming::new(recv)));
    let (head, body) = shared.call(service, &conn, request).await.into_parts();
    if let Err(error) = respond(&mut send, Response::from_parts(head, ()), body).await {
        if matches!(error.downcast_ref(), Some(StreamError::RemoteTerminate { .. })) {
            conn.given_up();
        }
        debug!(error, "response broke off");
        send.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
    }
}

type Sender = RequestStream<SendStream<Bytes>, Bytes>;

async fn respond(send: &mut Sender, head: Response<()>, body: Body) -> Result<(), BoxError> {
    send.send_response(head).await?;
    message::send_body(send, body).await
}
