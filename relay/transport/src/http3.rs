//! HTTP/3 over QUIC.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h3::error::ConnectionError;
use h3::server::RequestResolver;
use http::{Request, Response};
use omnirelay_runtime::Drain;
use relay_core::Protocol;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use crate::body::{Body, BoxError};
use crate::conn_info::{ConnInfo, PeerIdentity, RemoteAddress};
use crate::http3_answer::answer;
use crate::quic::{self, Abandoned, Connection, H3_NO_ERROR, H3_REQUEST_REJECTED, Side};
use crate::serve::{Conn, Shared};
use crate::stats::Bound;
use crate::tls::{PeerCheck, ServerTls};

/// Requests that are still accepted after the first GOAWAY: those already on the way.
const GRACE_REQUESTS: usize = 1 << 16;
/// How many late requests put the close off.
const MAX_LATE: u32 = 16;
/// How long "on the way" can take at least: before the second, final GOAWAY, and before the close.
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
        let connections = tracker.clone();
        let shaking = async move {
            let (connection, conn, peer) = match handshake(incoming, &tls, &shared).await {
                Ok(established) => established,
                Err(error) => return debug!(error, "no connection came about"),
            };
            drop(handshaking);
            // A task of its own: what the handshake needed is not kept as long as the connection.
            let serving = async move {
                if let Err(error) = serve_connection(connection, conn, peer, service, shared, drain).await {
                    debug!(error, "connection ended");
                }
                drop((place, address_place, guard));
            };
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
    let shaken = tokio::time::timeout(shared.limits.handshake_timeout(), incoming.accept()?).await;
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

/// Serves a connection until it ends, and counts what it ended by.
async fn serve_connection<S>(
    connection: quinn::Connection,
    conn: Arc<Conn>,
    mut peer: PeerCheck,
    service: S,
    shared: Shared,
    drain: Drain,
) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let (stats, excess) = (shared.stats.clone(), conn.excess.clone());
    let ended = requests(connection.clone(), conn, service, shared, drain, peer.refused()).await;
    let Err(error) = ended else { return Ok(()) };
    if error.is_h3_no_error() {
        return Ok(());
    }
    match connection.close_reason() {
        Some(quinn::ConnectionError::TimedOut) => stats.refused(Bound::Idle),
        _ if excess.is_cancelled() => {}
        // By h3, or for a rule that the adapter knows.
        Some(quinn::ConnectionError::LocallyClosed) => stats.refused(Bound::Malformed),
        _ => {}
    }
    Err(error.into())
}

/// Accepts requests until the connection ends or the drain has it end.
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
    let last_accepted = quic.last_accepted();
    let mut builder = h3::server::builder();
    builder.max_field_section_size(shared.limits.max_header_bytes.into()).send_grease(false);
    // It waits until the client takes our settings, which it may never do.
    let building = tokio::time::timeout(shared.limits.send_timeout(), Box::pin(builder.build(quic)));
    let Ok(built) = building.await else {
        shared.stats.refused(Bound::SendTime);
        connection.close(quinn::VarInt::from_u32(H3_GENERAL_PROTOCOL_ERROR), b"no room for a control stream");
        return Ok(());
    };
    let mut h3 = built?;

    let requests = TaskTracker::new();
    let most = usize::try_from(shared.limits.max_streams_per_connection).unwrap_or(usize::MAX);
    let mut phase = Phase::Serving;
    let mut grace_ends = Instant::now();
    let mut ends = None;
    // h3 names in its GOAWAY the first request that it will not answer, and yet accepts that one;
    // a caller that believes the GOAWAY sends it again elsewhere, so it must not be answered here.
    let (mut accepted_any, mut refusing, mut late) = (false, false, 0);
    let (mut roomy, half) = (false, usize::try_from(shared.limits.first_streams() / 2).unwrap_or_default());
    let mut draining = pin!(drain.started());
    let mut unwelcome = pin!(unwelcome);
    let mut excess = pin!(conn.excess.cancelled());
    loop {
        // In order: while requests come in one after the other, nothing else is asked each time but
        // whether they come too fast.
        let step = tokio::select! {
            biased;
            () = &mut excess => Step::Excess,
            accepted = h3.accept() => Step::Accepted(accepted),
            () = &mut draining, if phase == Phase::Serving => Step::FirstGoaway,
            () = &mut unwelcome, if phase == Phase::Serving => Step::Unwelcome,
            () = tokio::time::sleep_until(grace_ends), if phase == Phase::Grace => Step::FinalGoaway,
            () = requests.wait(), if phase == Phase::Finishing => Step::Idle,
            () = tokio::time::sleep_until(grace_ends), if phase == Phase::Lingering => break,
            () = at(ends) => break,
        };
        match step {
            Step::Accepted(Ok(Some(resolver))) => {
                let abandoned = last_accepted.take();
                if refusing {
                    refuse(resolver);
                    // The refusal has to arrive, or the caller cannot know that nothing was done.
                    if phase == Phase::Lingering && late < MAX_LATE {
                        late += 1;
                        grace_ends = Instant::now() + grace(&connection);
                    }
                    continue;
                }
                // A stream that its client has given up makes room for another one before what it
                // asked for has ended.
                if requests.len() >= most {
                    shared.stats.refused(Bound::StreamsPerConnection);
                    refuse(resolver);
                    continue;
                }
                accepted_any = true;
                if !roomy && requests.len() >= half {
                    connection.set_max_concurrent_bi_streams(shared.limits.max_streams_per_connection.into());
                    roomy = true;
                }
                let task = request(resolver, service.clone(), shared.clone(), Arc::clone(&conn), abandoned);
                omnirelay_runtime::spawn("h3-request", requests.track_future(task));
            }
            Step::Accepted(Ok(None)) => break,
            Step::Accepted(Err(error)) => return Err(error),
            Step::Excess => {
                let code = quinn::VarInt::from_u32(H3_EXCESSIVE_LOAD);
                connection.close(code, b"too many requests were given up");
                return Ok(());
            }
            Step::FirstGoaway | Step::Unwelcome => {
                if matches!(step, Step::Unwelcome) {
                    ends = Instant::now().checked_add(shared.limits.drain_max());
                }
                closing.begin();
                Box::pin(h3.shutdown(GRACE_REQUESTS)).await?;
                // Before the first request h3 has no number to count from and refuses all at once.
                refusing = !accepted_any;
                grace_ends = Instant::now() + grace(&connection);
                phase = Phase::Grace;
            }
            Step::FinalGoaway => {
                // One more than the last that was accepted is the first that is not.
                Box::pin(h3.shutdown(usize::from(accepted_any))).await?;
                refusing = true;
                requests.close();
                phase = Phase::Finishing;
            }
            Step::Idle => {
                grace_ends = Instant::now() + grace(&connection);
                phase = Phase::Lingering;
            }
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

/// How far a connection is on its way to the end (RFC 9114, section 5.2).
#[derive(PartialEq, Eq)]
enum Phase {
    Serving,
    Grace,
    Finishing,
    /// Everything is answered; what comes late is refused for a moment longer, since a close throws
    /// refusals away that are on their way.
    Lingering,
}

enum Step<T> {
    Accepted(T),
    Excess,
    Unwelcome,
    FirstGoaway,
    FinalGoaway,
    Idle,
}

/// How long what is on its way may take to arrive.
fn grace(connection: &quinn::Connection) -> Duration {
    GRACE_TIME.max(3 * connection.rtt())
}

/// Resolves at a moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Refuses a request before anything was done with it.
fn refuse(mut resolver: RequestResolver<Connection, Bytes>) {
    let stream = &mut resolver.frame_stream;
    h3::quic::RecvStream::stop_sending(&mut stream.stream, H3_REQUEST_REJECTED.into());
    h3::quic::SendStream::<Bytes>::reset(stream, H3_REQUEST_REJECTED.into());
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
