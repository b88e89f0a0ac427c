//! HTTP/2: a few connections to one target, opened once for all who wait, replaced when they are
//! gone.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioTimer;
use relay_transport::{Body, BoxError, Http2Incoming, body, in_turn};
use tokio::sync::watch;
use tracing::debug;

use crate::connector::Connector;
use crate::outgoing::Outgoing;
use crate::pool::{Choice, Load, choose};
use crate::tcp::TcpError;

/// Bytes of one answer that may be on their way.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes of all answers on one connection that may be on their way.
pub(crate) const CONNECTION_WINDOW: u32 = 8 << 20;

type Outcome = Option<Result<Arc<Live>, Arc<dyn Error + Send + Sync>>>;

/// Runs what hyper starts for a connection: first what reads and writes it, then two tasks for each request.
#[derive(Clone, Default)]
struct Tasks {
    begun: Arc<AtomicBool>,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        if self.begun.swap(true, Ordering::Relaxed) {
            omnirelay_runtime::spawn("h2-stream", future);
        } else {
            omnirelay_runtime::spawn("h2-wire", in_turn(future));
        }
    }
}

/// The connections to one target.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    connector: Connector,
    live: ArcSwap<Vec<Arc<Live>>>,
    connecting: Mutex<Option<watch::Receiver<Outcome>>>,
}

struct Live {
    sender: SendRequest<Body>,
    in_flight: AtomicUsize,
    /// Calls that the peer allows at once.
    room: Arc<AtomicUsize>,
    /// How often something was heard of the peer.
    heard: Arc<AtomicU64>,
    /// The server is believed no more.
    refused: Arc<AtomicBool>,
}

impl Live {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.refused.load(Ordering::Relaxed)
    }

    fn load(&self) -> Load {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        Load { in_flight, room: self.room.load(Ordering::Relaxed) }
    }
}

impl Pool {
    pub(crate) fn new(connector: Connector) -> Self {
        let inner = Inner { connector, live: ArcSwap::default(), connecting: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// Opens a connection where there is none to use.
    pub(crate) async fn reach(&self) -> Result<(), BoxError> {
        let opened = self.connect().await;
        opened.map(drop).map_err(|error| error.to_string().into())
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, outgoing: &Outgoing) -> Result<Response<Body>, TcpError> {
        let live = match self.pick() {
            Some(live) => live,
            None => self.connect().await.map_err(|error| TcpError::Connect(Box::new(Shared(error))))?,
        };
        let place = Place::take(&live);
        let waiting = Waiting::begin(self, &live);
        let outcome = live.sender.clone().try_send_request(outgoing.request()).await;
        waiting.end();
        match outcome {
            Ok(response) => Ok(response.map(|incoming| {
                let incoming = Http2Incoming::new(incoming);
                body::boxed(Answer { incoming, _place: place })
            })),
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                let error = error.into_error();
                if unsent || did_nothing(&error) {
                    self.retire(&live);
                    Err(TcpError::Refused(error.into()))
                } else {
                    Err(TcpError::Broken(error.into()))
                }
            }
        }
    }

    /// Lets go of all connections; each closes with its last call.
    pub(crate) fn close(&self) {
        self.0.live.store(Arc::default());
    }

    fn pick(&self) -> Option<Arc<Live>> {
        let pool = self.0.live.load();
        let usable = |live: &&Arc<Live>| live.is_usable();
        let most = self.0.connector.target.max_connections;
        let index = match choose(pool.iter().filter(usable).map(|live| live.load()), most) {
            Choice::Open => return None,
            Choice::Use(index) => index,
            Choice::UseAndGrow(index) => {
                self.join_attempt();
                index
            }
        };
        pool.iter().filter(usable).nth(index).cloned()
    }

    async fn connect(&self) -> Result<Arc<Live>, Arc<dyn Error + Send + Sync>> {
        let mut waiting = self.join_attempt();
        match waiting.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(Arc::from(BoxError::from("the connection attempt was given up"))),
        }
    }

    fn join_attempt(&self) -> watch::Receiver<Outcome> {
        let mut connecting = self.0.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = connecting.as_ref().filter(|waiting| waiting.borrow().is_none()) {
            return waiting.clone();
        }
        let (done, waiting) = watch::channel(None);
        *connecting = Some(waiting.clone());
        let pool = self.clone();
        omnirelay_runtime::spawn("h2-connect", async move {
            let outcome = open(&pool.0.connector).await.map(Arc::new).map_err(Arc::from);
            if let Ok(live) = &outcome {
                pool.0.live.rcu(|pool| {
                    let mut pool: Vec<_> = pool.iter().filter(|live| live.is_usable()).cloned().collect();
                    pool.push(Arc::clone(live));
                    pool
                });
            }
            *pool.0.connecting.lock().unwrap_or_else(PoisonError::into_inner) = None;
            done.send_replace(Some(outcome));
        });
        waiting
    }

    fn retire(&self, retired: &Arc<Live>) {
        self.0
            .live
            .rcu(|pool| pool.iter().filter(|live| !Arc::ptr_eq(live, retired)).cloned().collect::<Vec<_>>());
    }
}

async fn open(connector: &Connector) -> Result<Live, BoxError> {
    let io = connector.connect().await?;
    let (heard, refused, keep_alive) = (io.heard(), io.refused(), connector.target.keep_alive);
    let (sender, mut connection) = Builder::new(Tasks::default())
        .timer(TokioTimer::new())
        .keep_alive_interval(keep_alive.http2_ping_after)
        .keep_alive_timeout(keep_alive.dead_after)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(io)
        .await?;
    let room = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let told = Arc::clone(&room);
    omnirelay_runtime::spawn("h2-connection", async move {
        let ended = in_turn(poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            told.store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled
        }));
        if let Err(error) = ended.await {
            debug!(%error, "connection ended");
        }
    });
    Ok(Live { sender, in_flight: AtomicUsize::new(0), room, heard, refused })
}

/// Whether the peer says that it did nothing with a request: it reset it as refused, or said
/// goodbye and named an earlier one as its last (RFC 9113, sections 6.8 and 8.7).
pub(crate) fn did_nothing(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            let goodbye = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_remote() && (refused || goodbye);
        }
        next = error.source();
    }
    false
}

/// An error of an attempt that several calls waited for.
#[derive(Debug)]
struct Shared(Arc<dyn Error + Send + Sync>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A call that waits for its answer. Where it is given up and nothing at all was heard of the peer
/// meanwhile, the connection may lead nowhere, and later calls go over another.
struct Waiting<'a> {
    pool: &'a Pool,
    live: &'a Arc<Live>,
    since: Instant,
    heard: u64,
    ended: bool,
}

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool, live: &'a Arc<Live>) -> Self {
        let heard = live.heard.load(Ordering::Relaxed);
        Self { pool, live, since: Instant::now(), heard, ended: false }
    }

    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let patience = self.pool.0.connector.target.keep_alive.dead_after;
        if !self.ended
            && self.heard == self.live.heard.load(Ordering::Relaxed)
            && self.since.elapsed() >= patience
        {
            debug!(?patience, "the peer says nothing");
            self.pool.retire(self.live);
        }
    }
}

/// A call's place on a connection.
struct Place(Arc<Live>);

impl Place {
    fn take(live: &Arc<Live>) -> Self {
        live.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(live))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body, which holds its place on the connection.
struct Answer {
    incoming: Http2Incoming,
    _place: Place,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
