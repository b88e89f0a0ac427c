//! One connection's life: requests come in, until it ends by itself or is wound down.
//!
//! Ten thousand of these may be idle, so what waits is small: no timer runs and no copy of anything
//! is kept before it is needed.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::ConnectionError;
use h3::quic;
use h3::server::RequestResolver;
use http::{Request, Response};
use omnirelay_runtime::Drain;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::debug;

use super::{H3_GENERAL_PROTOCOL_ERROR, request};
use crate::body::{Body, BoxError};
use crate::ends::{End, ends};
use crate::quic::{Closing, Connection, H3_NO_ERROR, H3_REQUEST_REJECTED, LastAccepted, Side};
use crate::seldom::Seldom;
use crate::serve::{Conn, Shared};
use crate::stats::Bound;
use crate::tls::PeerCheck;

/// Requests that are still accepted after the first GOAWAY: those already on the way.
const GRACE_REQUESTS: usize = 1 << 16;
/// How many late requests put the close off.
const MAX_LATE: u32 = 16;
/// How long "on the way" can take at least: before the second, final GOAWAY, and before the close.
const GRACE_TIME: Duration = Duration::from_millis(100);
/// Requests after which a connection is no longer taken for one that is mostly idle.
const BUSY: u32 = 64;
/// H3_EXCESSIVE_LOAD (RFC 9114, section 8.1).
const H3_EXCESSIVE_LOAD: u32 = 0x107;

/// A connection that is served.
pub(super) struct Serving<S> {
    connection: quinn::Connection,
    h3: h3::server::Connection<Connection, Bytes>,
    closing: Closing,
    last_accepted: LastAccepted,
    conn: Arc<Conn>,
    service: S,
    shared: Shared,
    requests: TaskTracker,
    /// How many were accepted, up to [`BUSY`].
    accepted: u32,
    /// Whether the peer may open as many streams as are allowed.
    roomy: bool,
    /// h3 names in its GOAWAY the first request that it will not answer, and yet accepts that one;
    /// a caller that believes the GOAWAY sends it again elsewhere, so it must not be answered here.
    refusing: bool,
}

impl<S> Serving<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Opens our side of HTTP/3.
    pub(super) async fn begin(
        connection: quinn::Connection,
        conn: Arc<Conn>,
        service: S,
        shared: Shared,
    ) -> Result<Box<Self>, BoxError> {
        let max_section = shared.limits().max_header_bytes;
        let quic = Connection::new(connection.clone(), Side::Server, max_section);
        let (closing, last_accepted) = (quic.closing(), quic.last_accepted());
        let mut builder = h3::server::builder();
        builder.max_field_section_size(max_section.into()).send_grease(false);
        // It waits until the client takes our settings, which it may never do.
        let building = tokio::time::timeout(shared.limits().send_timeout(), builder.build(quic));
        let Ok(built) = building.await else {
            shared.stats.refused(Bound::SendTime);
            let code = quinn::VarInt::from_u32(H3_GENERAL_PROTOCOL_ERROR);
            connection.close(code, b"no room for a control stream");
            return Err("the client takes no settings".into());
        };
        let h3 = built?;
        // In a box: a future keeps what is moved into it twice.
        Ok(Box::new(Self {
            connection,
            h3,
            closing,
            last_accepted,
            conn,
            service,
            shared,
            requests: TaskTracker::new(),
            accepted: 0,
            roomy: false,
            refusing: false,
        }))
    }

    /// Serves until the connection ends, and counts what it ended by.
    pub(super) async fn run(mut self: Box<Self>, drain: Drain, peer: PeerCheck, held: impl Send) {
        let drain_max = self.shared.limits().drain_max();
        let mut ends = ends(Arc::clone(&self.conn), drain, peer.refused(drain_max));
        let ended = match self.serve(&mut ends).await {
            Ok(Some(why)) => Box::pin(self.wind_down(why)).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended
            && !error.is_h3_no_error()
        {
            match self.connection.close_reason() {
                Some(quinn::ConnectionError::TimedOut) => self.shared.stats.refused(Bound::Idle),
                _ if self.conn.excess.is_cancelled() => {}
                // By h3, or for a rule that the adapter knows.
                Some(quinn::ConnectionError::LocallyClosed) => self.shared.stats.refused(Bound::Malformed),
                _ => {}
            }
            debug!(%error, "connection ended");
        }
        drop(held);
    }

    /// Accepts requests until the connection has ended, or tells why it is to be wound down.
    async fn serve(&mut self, ends: &mut Seldom<End>) -> Result<Option<Farewell>, ConnectionError> {
        loop {
            // In order: requests that come in one after the other do not put an end off.
            let accepted = tokio::select! {
                biased;
                end = &mut *ends => match end {
                    End::Excess => {
                        self.close_for_excess();
                        return Ok(None);
                    }
                    End::Drain => return Ok(Some(Farewell::Drain)),
                    End::Unwelcome(grace) => return Ok(Some(Farewell::Unwelcome(grace))),
                },
                accepted = self.h3.accept() => accepted?,
            };
            let Some(resolver) = accepted else {
                return Ok(Some(Farewell::Ended));
            };
            self.take(resolver);
        }
    }

    /// Answers a request in a task of its own, or refuses it.
    fn take(&mut self, resolver: RequestResolver<Connection, Bytes>) {
        let abandoned = self.last_accepted.take();
        if self.refusing {
            return refuse(resolver);
        }
        let limits = self.shared.limits();
        let running = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        // A stream that its client has given up makes room for another one before what it asked for
        // has ended.
        if running >= limits.max_streams_per_connection {
            self.shared.stats.refused(Bound::StreamsPerConnection);
            return refuse(resolver);
        }
        self.accepted = (self.accepted + 1).min(BUSY);
        if !self.roomy && (running >= limits.first_streams() / 2 || self.accepted == BUSY) {
            self.connection.set_max_concurrent_bi_streams(limits.max_streams_per_connection.into());
            self.roomy = true;
        }
        let (service, shared) = (self.service.clone(), self.shared.clone());
        let task = request(resolver, service, shared, Arc::clone(&self.conn), abandoned);
        omnirelay_runtime::spawn("h3-request", self.requests.track_future(task));
    }

    /// Says goodbye (RFC 9114, section 5.2), lets what is on its way be answered, and closes.
    async fn wind_down(&mut self, why: Farewell) -> Result<(), ConnectionError> {
        let ends = match why {
            Farewell::Ended => {
                self.finish(None).await;
                return Ok(());
            }
            Farewell::Drain => None,
            Farewell::Unwelcome(grace) => Instant::now().checked_add(grace),
        };
        let conn = Arc::clone(&self.conn);
        let mut excess = pin!(conn.excess.cancelled());
        self.closing.begin();
        self.h3.shutdown(GRACE_REQUESTS).await?;
        // Before the first request h3 has no number to count from and refuses all at once.
        self.refusing = self.accepted == 0;
        let mut phase = Phase::Grace;
        let mut grace_ends = Instant::now() + grace(&self.connection);
        let mut late = 0;
        loop {
            let step = tokio::select! {
                biased;
                () = &mut excess => {
                    self.close_for_excess();
                    return Ok(());
                }
                accepted = self.h3.accept() => match accepted? {
                    Some(resolver) => Step::Accepted(resolver),
                    None => break,
                },
                () = tokio::time::sleep_until(grace_ends), if phase != Phase::Finishing => Step::GraceIsOver,
                () = self.requests.wait(), if phase == Phase::Finishing => Step::Idle,
                () = at(ends) => break,
            };
            match step {
                Step::Accepted(resolver) => {
                    self.take(resolver);
                    // A refusal has to arrive, or the caller cannot know that nothing was done.
                    if phase == Phase::Lingering && late < MAX_LATE {
                        late += 1;
                        grace_ends = Instant::now() + grace(&self.connection);
                    }
                }
                Step::GraceIsOver if phase == Phase::Grace => {
                    // One more than the last that was accepted is the first that is not.
                    self.h3.shutdown(usize::from(self.accepted > 0)).await?;
                    self.refusing = true;
                    self.requests.close();
                    phase = Phase::Finishing;
                }
                Step::GraceIsOver => break,
                Step::Idle => {
                    grace_ends = Instant::now() + grace(&self.connection);
                    phase = Phase::Lingering;
                }
            }
        }
        self.finish(ends).await;
        Ok(())
    }

    /// Closes once every request is answered, or at `ends`.
    async fn finish(&mut self, ends: Option<Instant>) {
        self.requests.close();
        tokio::select! {
            () = self.requests.wait() => {}
            () = at(ends) => {}
        }
        self.connection.close(quinn::VarInt::from_u32(H3_NO_ERROR), b"");
    }

    fn close_for_excess(&self) {
        let code = quinn::VarInt::from_u32(H3_EXCESSIVE_LOAD);
        self.connection.close(code, b"too many requests were given up");
    }
}

/// Why a connection is wound down.
enum Farewell {
    /// The peer opens no more requests.
    Ended,
    /// The process ends.
    Drain,
    /// The peer is believed no more; its calls in flight may go on for so long.
    Unwelcome(Duration),
}

/// How far a connection is on its way to the end.
#[derive(PartialEq, Eq)]
enum Phase {
    /// What is on its way is still accepted.
    Grace,
    /// What was accepted is answered.
    Finishing,
    /// Everything is answered; what comes late is refused for a moment longer, since a close throws
    /// refusals away that are on their way.
    Lingering,
}

#[allow(clippy::large_enum_variant, reason = "one lives for a turn of the loop")]
enum Step {
    Accepted(RequestResolver<Connection, Bytes>),
    GraceIsOver,
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
    quic::RecvStream::stop_sending(&mut stream.stream, H3_REQUEST_REJECTED.into());
    quic::SendStream::<Bytes>::reset(stream, H3_REQUEST_REJECTED.into());
}
