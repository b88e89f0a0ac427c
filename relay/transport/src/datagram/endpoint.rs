//! The socket, its connections and what passes over them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use omnirelay_runtime::{ErrorKind, Metrics, OperatorError, Result};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, IdleTimeout, ServerConfig, VarInt};
use socket2::{Domain, Socket, Type};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::pool::{Next, Pool};
use super::stats::{Event, Stats};
use super::{DatagramConfig, Received, unreachable};
use crate::auth::matches;
use crate::bind::inet_failed;
use crate::body::BoxError;
use crate::conn_info::PeerIdentity;
use crate::quic;
use crate::rate::SharedRate;
use crate::tls::{PeerCheck, ServerTls};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Handshakes of strangers at a time; from half of them on an address has to be proven.
const HANDSHAKES: usize = 64;
/// A connection over which nothing comes ends: a peer that began anew cannot tell us that it forgot ours.
const IDLE: Duration = Duration::from_secs(5);
/// Bytes of messages that wait on a connection, each way.
const BUFFER: usize = 256 << 10;
/// Long messages of one peer at a time, and how long one may take.
const STREAMS: u32 = 4;
const STREAM_TIME: Duration = Duration::from_secs(5);
/// Long messages of ours at a time.
const SENDING: usize = 256;
/// Messages that wait to be taken.
const INBOX: usize = 1_024;
/// Lines a second that refused peers can make us log.
const LINES_PER_SECOND: u32 = 10;

/// What a connection is closed with.
const DONE: VarInt = VarInt::from_u32(0);
const NOT_ALLOWED: VarInt = VarInt::from_u32(1);
const NOT_BELIEVED: VarInt = VarInt::from_u32(2);

/// No name is looked at; QUIC wants one.
const NAME: &str = "peer.invalid";

pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    quic: quinn::Endpoint,
    tls: ServerTls,
    allow: Vec<String>,
    max_message: usize,
    max_connections: usize,
    pool: Mutex<Pool>,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    inbox: mpsc::Sender<Received>,
    stats: Stats,
    lines: SharedRate,
}

impl Endpoint {
    pub(super) fn bind(
        config: &DatagramConfig,
        tls: &ServerTls,
        metrics: &Metrics,
    ) -> Result<(Self, mpsc::Receiver<Received>)> {
        let (called, calling) = configs(config, tls)?;
        let failed = |error: std::io::Error| inet_failed("UDP", config.address, &error);
        let socket = socket(config.address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let mut quic =
            quinn::Endpoint::new(quic::endpoint_config(), Some(called), socket, runtime).map_err(failed)?;
        quic.set_default_client_config(calling);
        let (inbox, messages) = mpsc::channel(INBOX);
        let endpoint = Self {
            address,
            quic,
            tls: tls.clone(),
            allow: config.allow.clone(),
            max_message: config.max_message,
            max_connections: config.max_connections,
            pool: Mutex::default(),
            connections: Arc::new(Semaphore::new(config.max_connections)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            sending: Arc::new(Semaphore::new(SENDING)),
            inbox,
            stats: Stats::new(metrics),
            lines: SharedRate::new(LINES_PER_SECOND),
        };
        Ok((endpoint, messages))
    }

    /// Lets peers in until the endpoint is closed.
    pub(super) fn accept(self: Arc<Self>) {
        omnirelay_runtime::spawn("datagram-accept", async move {
            while let Some(incoming) = self.quic.accept().await {
                if incoming.may_retry()
                    && !incoming.remote_address_validated()
                    && self.handshakes.available_permits() < HANDSHAKES / 2
                {
                    // What may be retried can be.
                    let _asked = incoming.retry();
                    continue;
                }
                let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
                    incoming.refuse();
                    continue;
                };
                let this = Arc::clone(&self);
                omnirelay_runtime::spawn("datagram-handshake", async move {
                    let from = incoming.remote_address();
                    let check = this.tls.check();
                    let made = async { this.admit(incoming.accept()?.await?, from, check) };
                    if let Err(error) = timeout(HANDSHAKE, made).await.unwrap_or_else(|late| Err(late.into()))
                    {
                        this.stats.count(Event::Failed);
                        debug!(%from, error, "no connection came about");
                    }
                    drop(handshake);
                });
            }
        });
    }

    /// Makes a connection.
    pub(super) async fn dial(self: Arc<Self>, to: SocketAddr) -> Result<(Connection, PeerIdentity)> {
        let check = self.tls.check();
        let made = async { self.admit(self.quic.connect(to, NAME)?.await?, to, check) };
        let made = timeout(HANDSHAKE, made).await.unwrap_or_else(|late| Err(late.into()));
        made.map_err(|error| {
            self.stats.count(Event::Failed);
            for _ in 0..self.pool().failed(to, Instant::now()) {
                self.stats.count(Event::Dropped);
            }
            unreachable(to, &*error)
        })
    }

    /// Takes a connection where its peer is let in, and serves it.
    fn admit(
        self: &Arc<Self>,
        connection: Connection,
        address: SocketAddr,
        mut check: PeerCheck,
    ) -> Result<(Connection, PeerIdentity), BoxError> {
        let chain = quic::peer_chain(&connection);
        let identity = chain.first().and_then(PeerIdentity::of);
        // What it believes may have changed during the handshake.
        if let Err(error) = check.shown(chain, true) {
            connection.close(NOT_BELIEVED, b"the certificate is believed no more");
            return Err(error.into());
        }
        let allowed =
            identity.filter(|peer| self.allow.iter().any(|pattern| matches(pattern, peer.spiffe())));
        let Some(identity) = allowed else {
            self.stats.count(Event::Refused);
            if !self.lines.exceeded() {
                let who = quic::peer_chain(&connection).first().and_then(PeerIdentity::of);
                let who = who.as_ref().map_or("nobody", PeerIdentity::spiffe);
                info!(%address, ?who, "a peer with a good certificate is not let in");
            }
            connection.close(NOT_ALLOWED, b"this identity is not let in");
            return Err("its identity is not let in".into());
        };
        let Ok(place) = Arc::clone(&self.connections).try_acquire_owned() else {
            connection.close(NOT_ALLOWED, b"there are too many connections");
            return Err("there are too many connections".into());
        };
        self.stats.count(Event::Connected);
        let waiting = self.pool().opened(address, connection.clone(), identity.clone());
        for message in waiting {
            self.put(&connection, message);
        }
        let (this, open, peer) = (Arc::clone(self), connection.clone(), identity.clone());
        omnirelay_runtime::spawn("datagram-connection", async move {
            this.serve(&open, &peer, check).await;
            this.pool().ended(address, &open);
            drop(place);
        });
        Ok((connection, identity))
    }

    /// Takes messages until the connection ends.
    async fn serve(self: &Arc<Self>, connection: &Connection, peer: &PeerIdentity, check: PeerCheck) {
        let refused = check.refused(Duration::ZERO);
        tokio::pin!(refused);
        loop {
            tokio::select! {
                message = connection.read_datagram() => match message {
                    Ok(message) => self.take(connection, peer, message),
                    Err(_ended) => return,
                },
                stream = connection.accept_uni() => match stream {
                    Ok(stream) => self.read(stream, connection, peer),
                    Err(_ended) => return,
                },
                _ = &mut refused => {
                    connection.close(NOT_BELIEVED, b"the certificate is believed no more");
                    return;
                }
            }
        }
    }

    fn take(&self, connection: &Connection, peer: &PeerIdentity, message: Bytes) {
        let fits = message.len() <= self.max_message;
        let received = Received { from: peer.clone(), address: connection.remote_address(), message };
        let taken = fits && self.inbox.try_send(received).is_ok();
        self.stats.count(if taken { Event::Received } else { Event::Dropped });
    }

    /// A long message. QUIC itself bounds how many there are at a time.
    fn read(self: &Arc<Self>, mut stream: quinn::RecvStream, connection: &Connection, peer: &PeerIdentity) {
        let (this, connection, peer) = (Arc::clone(self), connection.clone(), peer.clone());
        omnirelay_runtime::spawn("datagram-stream", async move {
            match timeout(STREAM_TIME, stream.read_to_end(this.max_message)).await {
                Ok(Ok(message)) => this.take(&connection, &peer, message.into()),
                _ => this.stats.count(Event::Dropped),
            }
        });
    }

    pub(super) fn connected(&self, to: SocketAddr) -> Option<(Connection, PeerIdentity)> {
        self.pool().open(to)
    }

    pub(super) fn send(self: &Arc<Self>, to: SocketAddr, message: Bytes) {
        let next = self.pool().way(to, message, Instant::now(), self.max_connections);
        match next {
            Next::Send(connection, message) => self.put(&connection, message),
            Next::Wait => {}
            Next::Drop => self.stats.count(Event::Dropped),
            Next::Dial => {
                let this = Arc::clone(self);
                omnirelay_runtime::spawn("datagram-dial", async move {
                    if let Err(error) = this.dial(to).await {
                        debug!(%to, %error, "no connection came about");
                    }
                });
            }
        }
    }

    /// A datagram where it fits into one, else a stream.
    fn put(&self, connection: &Connection, message: Bytes) {
        if connection.max_datagram_size().is_some_and(|most| message.len() <= most) {
            let sent = connection.send_datagram(message).is_ok();
            return self.stats.count(if sent { Event::Sent } else { Event::Dropped });
        }
        let Ok(place) = Arc::clone(&self.sending).try_acquire_owned() else {
            return self.stats.count(Event::Dropped);
        };
        let (connection, stats) = (connection.clone(), self.stats.clone());
        omnirelay_runtime::spawn("datagram-stream", async move {
            let sent = timeout(STREAM_TIME, stream(&connection, &message)).await;
            stats.count(if matches!(sent, Ok(Ok(()))) { Event::Sent } else { Event::Dropped });
            drop(place);
        });
    }

    pub(super) async fn close(&self) {
        self.quic.close(DONE, b"bye");
        self.quic.wait_idle().await;
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a message on a stream of its own and waits until it is there.
pub(super) async fn stream(connection: &Connection, message: &[u8]) -> Result<(), BoxError> {
    let mut stream = connection.open_uni().await?;
    stream.write_all(message).await?;
    stream.finish()?;
    match stream.stopped().await? {
        None => Ok(()),
        Some(code) => Err(format!("the peer stopped it with code {code}").into()),
    }
}

fn configs(config: &DatagramConfig, tls: &ServerTls) -> Result<(ServerConfig, ClientConfig)> {
    let broken = |error: &(dyn std::error::Error + 'static)| {
        OperatorError::new(ErrorKind::Internal, "QUIC cannot start").caused_by(error)
    };
    let (called, calling) = tls.mutual(config.alpn)?;
    let idle = IdleTimeout::try_from(IDLE).map_err(|error| broken(&error))?;
    let window = u32::try_from(config.max_message).unwrap_or(u32::MAX);
    let mut transport = quic::transport_config();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(window))
        .receive_window(VarInt::from_u32(window.saturating_mul(STREAMS)))
        .datagram_receive_buffer_size(Some(BUFFER))
        .datagram_send_buffer_size(BUFFER)
        .max_idle_timeout(Some(idle));
    let transport = Arc::new(transport);
    let called = QuicServerConfig::try_from(called).map_err(|error| broken(&error))?;
    let mut server = ServerConfig::with_crypto(Arc::new(called));
    server.transport_config(Arc::clone(&transport));
    server.max_incoming(HANDSHAKES);
    let calling = QuicClientConfig::try_from(calling).map_err(|error| broken(&error))?;
    let mut client = ClientConfig::new(Arc::new(calling));
    client.transport_config(transport);
    Ok((server, client))
}

fn socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // The kernel grants what it grants; a smaller buffer works as well.
    let _granted = (socket.set_recv_buffer_size(BUFFER), socket.set_send_buffer_size(BUFFER));
    socket.bind(&address.into())?;
    Ok(socket.into())
}
