//! HTTP/3 over QUIC.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h3::quic;
use h3::server::{RequestResolver, RequestStream};
use http::{Request, Response};
use omnirelay_runtime::Drain;
use relay_core::Protocol;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use crate::body::{self, Body, BoxError};
use crate::conn_info::{ConnInfo, PeerIdentity};
use crate::quic::{Abandoned, Connection, H3_NO_ERROR, H3_REQUEST_REJECTED, SendStream, Side, message};
use crate::serve::Shared;
use crate::stats::Bound;

/// Requests that are still accepted after the first GOAWAY: those already on the way.
const GRACE_REQUESTS: usize = 1 << 16;
/// How many late requests put the close off.
const MAX_LATE: u32 = 16;
/// How long "on the way" can take at least: before the second, final GOAWAY, and before the close.
const GRACE_TIME: Duration = Duration::from_millis(100);

/// Accepts connections until the drain begins, then lets those open finish.
pub(crate) async fn serve<S>(endpoint: quinn::Endpoint, service: S, shared: Shared, drain: Drain)
where
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
        let Some(place) = shared.admit_connection() else {
            incoming.refuse();
            continue;
        };
        let (service, shared) = (service.clone(), shared.clone());
        let (guard, drain) = (drain.guard(), drain.clone());
        let connections = tracker.clone();
        let handshaking = async move {
            let (connection, info) = match handshake(incoming, &shared).await {
                Ok(established) => established,
                Err(error) => return debug!(error, "no connection came about"),
            };
            // A task of its own: what the handshake needed is not kept as long as the connection.
            let serving = async move {
                if let Err(error) = requests(connection, info, service, shared, drain).await {
                    debug!(error, "connection ended");
                }
                drop((place, guard));
            };
            omnirelay_runtime::spawn("h3-connection", connections.track_future(serving));
        };
        omnirelay_runtime::spawn("quic-handshake", tracker.track_future(handshaking));
    }
    tracker.close();
    tracker.wait().await;
    endpoint.close(quinn::VarInt::from_u32(H3_NO_ERROR), b"drained");
    endpoint.wait_idle().await;
}

async fn handshake(
    incoming: quinn::Incoming,
    shared: &Shared,
) -> Result<(quinn::Connection, ConnInfo), BoxError> {
    let local_ip = incoming.local_ip();
    let handshake = tokio::time::timeout(shared.limits.handshake_timeout(), incoming.accept()?);
    let connection = match handshake.await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            shared.stats.refused(Bound::Handshake);
            return Err(error.into());
        }
        Err(_elapsed) => {
            shared.stats.refused(Bound::Handshake);
            return Err("the QUIC handshake took too long".into());
        }
    };
    shared.stats.connection(Protocol::Http3);
    let remote = connection.remote_address();
    let local = std::net::SocketAddr::new(local_ip.unwrap_or(remote.ip()), 0);
    let info = ConnInfo { protocol: Protocol::Http3, remote, local, identity: identity(&connection) };
    Ok((connection, info))
}

/// Accepts requests until the connection ends or the drain has it end.
async fn requests<S>(
    connection: quinn::Connection,
    info: ConnInfo,
    service: S,
    shared: Shared,
    drain: Drain,
) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let quic = Connection::new(connection.clone(), Side::Server);
    let closing = quic.closing();
    let last_accepted = quic.last_accepted();
    let mut builder = h3::server::builder();
    builder.max_field_section_size(shared.limits.max_header_bytes.into()).send_grease(false);
    let mut h3 = Box::pin(builder.build(quic)).await?;

    let requests = TaskTracker::new();
    let mut phase = Phase::Serving;
    let mut grace_ends = Instant::now();
    // h3 names in its GOAWAY the first request that it will not answer, and yet accepts that one;
    // a caller that believes the GOAWAY sends it again elsewhere, so it must not be answered here.
    let (mut accepted_any, mut refusing, mut late) = (false, false, 0);
    let (mut roomy, half) = (false, usize::try_from(shared.limits.first_streams() / 2).unwrap_or_default());
    let mut draining = pin!(drain.started());
    loop {
        // In order: while requests come in one after the other, nothing else is asked each time.
        let step = tokio::select! {
            biased;
            accepted = h3.accept() => Step::Accepted(accepted),
            () = &mut draining, if phase == Phase::Serving => Step::FirstGoaway,
            () = tokio::time::sleep_until(grace_ends), if phase == Phase::Grace => Step::FinalGoaway,
            () = requests.wait(), if phase == Phase::Finishing => Step::Idle,
            () = tokio::time::sleep_until(grace_ends), if phase == Phase::Lingering => break,
        };
        match step {
            Step::Accepted(Ok(Some(resolver))) => {
                let (service, shared, info) = (service.clone(), shared.clone(), info.clone());
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
                accepted_any = true;
                if !roomy && requests.len() >= half {
                    connection.set_max_concurrent_bi_streams(shared.limits.max_streams_per_connection.into());
                    roomy = true;
                }
                let task = requests.track_future(request(resolver, service, shared, info, abandoned));
                omnirelay_runtime::spawn("h3-request", task);
            }
            Step::Accepted(Ok(None)) => break,
            Step::Accepted(Err(error)) => {
                return if error.is_h3_no_error() { Ok(()) } else { Err(error.into()) };
            }
            Step::FirstGoaway => {
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
    requests.wait().await;
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
    FirstGoaway,
    FinalGoaway,
    Idle,
}

/// How long what is on its way may take to arrive.
fn grace(connection: &quinn::Connection) -> Duration {
    GRACE_TIME.max(3 * connection.rtt())
}

fn identity(connection: &quinn::Connection) -> Option<PeerIdentity> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerIdentity::of(chain.first()?)
}

/// Refuses a request before anything was done with it.
fn refuse(mut resolver: RequestResolver<Connection, Bytes>) {
    let stream = &mut resolver.frame_stream;
    quic::RecvStream::stop_sending(&mut stream.stream, H3_REQUEST_REJECTED.into());
    quic::SendStream::<Bytes>::reset(stream, H3_REQUEST_REJECTED.into());
}

/// Answers a request unless its caller loses interest, in which case the handler is dropped where
/// it stands. A request that is answered at once costs no watching.
fn request<S>(
    resolver: RequestResolver<Connection, Bytes>,
    service: S,
    shared: Shared,
    info: ConnInfo,
    abandoned: Option<Abandoned>,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    // In a box of its own: what wraps it is moved several times before it runs.
    let mut answering = Box::pin(async move {
        let resolved = tokio::time::timeout(shared.limits.header_timeout(), resolver.resolve_request()).await;
        let (request, stream) = match resolved {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(error)) => return debug!(%error, "request refused"),
            Err(_elapsed) => return debug!("request headers took too long"),
        };
        let (mut send, recv) = stream.split();
        let request = request.map(|()| body::boxed(message::Incoming::new(recv)));
        let (head, body) = shared.call(service, &info, request).await.into_parts();
        if let Err(error) = respond(&mut send, Response::from_parts(head, ()), body).await {
            debug!(error, "response broke off");
            send.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
        }
    });
    let mut abandoned = abandoned.unwrap_or_else(|| Box::pin(std::future::pending()));
    poll_fn(move |cx| match answering.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => abandoned.as_mut().poll(cx),
    })
}

type Sender = RequestStream<SendStream<Bytes>, Bytes>;

async fn respond(send: &mut Sender, head: Response<()>, body: Body) -> Result<(), BoxError> {
    send.send_response(head).await?;
    message::send_body(send, body).await
}
