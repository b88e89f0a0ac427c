//! The HTTP/3 path to one target: a few connections, opened once for all who wait, replaced when
//! they are gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use relay_core::DowngradeReason;
use relay_transport::BoxError;
use relay_transport::quic::{self, Connection, H3_NO_ERROR, Side};
use tokio::sync::watch;
use tracing::debug;

use super::live::Live;
use super::sockets::Sockets;
use super::watch::watch;
use crate::connector::{Place, Target};
use crate::error::NoQuicAnswer;
use crate::path_memory::PathMemory;
use crate::pool::{Choice, choose};
use crate::race;
use crate::tcp::Tcp;

/// The longest field section that a server may send, in bytes as RFC 9114, section 4.2.2 counts them.
const MAX_SECTION: u32 = 64 << 10;

/// A path that did not come about.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct PathError {
    pub(crate) reason: DowngradeReason,
    pub(crate) source: Arc<dyn std::error::Error + Send + Sync>,
}

impl PathError {
    fn new(reason: DowngradeReason, source: impl Into<BoxError>) -> Self {
        Self { reason, source: Arc::from(source.into()) }
    }
}

type Outcome = Option<Result<Arc<Live>, PathError>>;

/// The HTTP/3 path to one target.
pub(crate) struct Path {
    target: Target,
    config: quinn::ClientConfig,
    sockets: Sockets,
    /// What calls use where HTTP/3 does not work, if anything may be.
    tcp: Option<Arc<Tcp>>,
    hedge_after: Duration,
    pool: ArcSwap<Vec<Arc<Live>>>,
    connecting: Mutex<Option<watch::Receiver<Outcome>>>,
    memory: Mutex<PathMemory>,
}

impl Path {
    pub(crate) fn new(
        target: Target,
        config: quinn::ClientConfig,
        sockets: Sockets,
        tcp: Option<Arc<Tcp>>,
        hedge_after: Duration,
    ) -> Self {
        Self {
            target,
            config,
            sockets,
            tcp,
            hedge_after,
            pool: ArcSwap::default(),
            connecting: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// A usable connection. Where calls may go over TCP, nobody waits for longer than the hedge,
    /// and nobody waits at all for a path that failed last: it is tried in the background.
    pub(crate) async fn connection(self: &Arc<Self>) -> Result<Arc<Live>, PathError> {
        if let Some(live) = self.pick()? {
            return Ok(live);
        }
        if self.tcp.is_none() {
            return self.attempt().await;
        }
        if self.failed_last()? {
            self.join_attempt();
            return Err(PathError::new(DowngradeReason::PathBroken, "HTTP/3 is being tried again"));
        }
        match tokio::time::timeout(self.hedge_after, self.attempt()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(PathError::new(DowngradeReason::NoQuicReply, "HTTP/3 is not up")),
        }
    }

    /// The connection of the pool that a call goes to; `None` where there is none.
    fn pick(self: &Arc<Self>) -> Result<Option<Arc<Live>>, PathError> {
        let pool = self.pool.load();
        // While packets vanish, calls go over TCP where they may, and this connection is its own probe.
        let usable = |live: &&Arc<Live>| live.is_usable() && (self.tcp.is_none() || !live.is_silent());
        let index =
            match choose(pool.iter().filter(usable).map(|live| live.load()), self.target.max_connections) {
                Choice::Open if pool.iter().any(|live| live.is_usable()) => {
                    return Err(PathError::new(DowngradeReason::NoQuicReply, "HTTP/3 has fallen silent"));
                }
                Choice::Open => return Ok(None),
                Choice::Use(index) => index,
                Choice::UseAndGrow(index) => {
                    if !self.memory().is_broken(Instant::now()) {
                        self.join_attempt();
                    }
                    index
                }
            };
        Ok(pool.iter().filter(usable).nth(index).cloned())
    }

    /// Whether the path failed last and may be tried again now.
    fn failed_last(&self) -> Result<bool, PathError> {
        let memory = self.memory();
        if memory.is_broken(Instant::now()) {
            return Err(PathError::new(DowngradeReason::PathBroken, "HTTP/3 failed a short while ago"));
        }
        Ok(memory.reason().is_some())
    }

    fn memory(&self) -> MutexGuard<'_, PathMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome of the attempt under way, or of a new one. It goes on where a caller stops
    /// waiting.
    async fn attempt(self: &Arc<Self>) -> Result<Arc<Live>, PathError> {
        let mut waiting = self.join_attempt();
        match waiting.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(PathError::new(DowngradeReason::PeerRefused, "the connection attempt was given up")),
        }
    }

    fn join_attempt(self: &Arc<Self>) -> watch::Receiver<Outcome> {
        let mut connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = connecting.as_ref().filter(|waiting| waiting.borrow().is_none()) {
            return waiting.clone();
        }
        let (done, waiting) = watch::channel(None);
        *connecting = Some(waiting.clone());
        let path = Arc::clone(self);
        omnirelay_runtime::spawn("h3-connect", async move {
            let outcome = path.connect().await;
            match &outcome {
                Ok(live) => path.admit(live),
                Err(error) => path.memory().failed(Instant::now(), error.reason),
            }
            *path.connecting.lock().unwrap_or_else(PoisonError::into_inner) = None;
            done.send_replace(Some(outcome));
        });
        waiting
    }

    fn admit(self: &Arc<Self>, live: &Arc<Live>) {
        self.memory().worked();
        if let Some(tcp) = &self.tcp {
            let watching =
                watch(Arc::downgrade(self), Arc::downgrade(live), Arc::clone(tcp), self.hedge_after);
            omnirelay_runtime::spawn("h3-watch", watching);
        }
        self.pool.rcu(|pool| {
            let mut pool: Vec<_> = pool.iter().filter(|live| live.is_usable()).cloned().collect();
            pool.push(Arc::clone(live));
            pool
        });
    }

    async fn connect(&self) -> Result<Arc<Live>, PathError> {
        let unknown = |error: BoxError| PathError::new(DowngradeReason::NameNotResolved, error);
        let timeout = self.target.connect_timeout;
        let connecting = async {
            let Place::Remote { host, port, .. } = &self.target.place else {
                return Err(unknown("there is no HTTP/3 in the clear".into()));
            };
            let addresses = tokio::net::lookup_host((host.as_ref(), *port));
            let addresses = race::interleave(addresses.await.map_err(|error| unknown(error.into()))?);
            let won = race::first(addresses, |address| self.connect_to(address)).await;
            won.unwrap_or_else(|| Err(unknown(format!("{host} has no address").into())))
        };
        match tokio::time::timeout(timeout, connecting).await {
            Ok(outcome) => outcome.map(Arc::new),
            Err(_elapsed) => Err(PathError::new(DowngradeReason::NoQuicReply, NoQuicAnswer(timeout))),
        }
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Live, PathError> {
        let refused = |error: BoxError| PathError::new(DowngradeReason::PeerRefused, error);
        let Place::Remote { server_name, trust, .. } = &self.target.place else {
            return Err(refused("there is no HTTP/3 in the clear".into()));
        };
        let (name, trust) = (server_name.to_str(), trust.watch());
        let connecting = self.sockets.connect(&self.config, address, &name);
        let (connecting, endpoint) = connecting.map_err(|error| refused(error.into()))?;
        let connection = connecting.await.map_err(handshake_error)?;
        let h3 = Connection::new(connection.clone(), Side::Client, MAX_SECTION);
        let mut builder = h3::client::builder();
        builder.max_field_section_size(MAX_SECTION.into()).send_grease(false);
        let (mut driver, sender) = builder.build(h3).await.map_err(|error| refused(error.into()))?;
        let live = Live::new(sender, connection, endpoint);
        let ended = Arc::clone(&live.ended);
        let distrusted = trust.ended(quic::peer_chain(&live.connection), Arc::clone(&ended));
        let distrusting = live.connection.clone();
        omnirelay_runtime::spawn("h3-connection", async move {
            let reason = tokio::select! {
                reason = driver.wait_idle() => reason,
                () = distrusted => {
                    distrusting.close(H3_NO_ERROR.into(), b"the server's certificate is believed no more");
                    driver.wait_idle().await
                }
            };
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            if !reason.is_h3_no_error() {
                debug!(%reason, "connection ended");
            }
        });
        Ok(live)
    }

    /// Takes a connection out of use; what is in flight on it goes on.
    pub(crate) fn retire(&self, retired: &Arc<Live>) {
        self.pool
            .rcu(|pool| pool.iter().filter(|live| !Arc::ptr_eq(live, retired)).cloned().collect::<Vec<_>>());
    }

    /// The packets of a connection vanish: ends it with what is in flight on it, and looks in the
    /// background whether a new one comes about.
    pub(super) fn give_up(self: &Arc<Self>, live: &Arc<Live>, reason: DowngradeReason) {
        self.memory().failed(Instant::now(), reason);
        self.retire(live);
        live.close(b"no packet was acknowledged");
        self.join_attempt();
    }

    /// Tells the peer that we are done and waits until it knows, for at most `max`.
    pub(crate) async fn close(&self, max: Duration) {
        let pool = self.pool.swap(Arc::default());
        let said = async {
            for live in pool.iter() {
                live.close(b"");
                live.endpoint.wait_idle().await;
            }
        };
        let _best_effort = tokio::time::timeout(max, said).await;
    }
}

fn handshake_error(error: quinn::ConnectionError) -> PathError {
    /// TLS alert 120, no_application_protocol (RFC 9001, section 4.8: 0x100 plus the alert).
    const NO_APPLICATION_PROTOCOL: u64 = 0x178;
    let reason = match &error {
        quinn::ConnectionError::TimedOut => DowngradeReason::NoQuicReply,
        quinn::ConnectionError::TransportError(error) if u64::from(error.code) == NO_APPLICATION_PROTOCOL => {
            DowngradeReason::AlpnMismatch
        }
        quinn::ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
        {
            DowngradeReason::AlpnMismatch
        }
        _ => DowngradeReason::PeerRefused,
    };
    PathError { reason, source: Arc::new(error) }
}
