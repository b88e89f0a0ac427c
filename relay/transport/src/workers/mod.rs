//! QUIC on every core: a worker is a thread with a runtime, a socket and an endpoint of its own,
//! and serves its connections without meeting the others.
//!
//! All sockets share one address (SO_REUSEPORT). The kernel leads a datagram by its connection id,
//! which says the worker, so that a connection survives a change of its client's address. Where the
//! platform cannot do that there is one worker, on the runtime that serves.
//!
//! A process that follows another goes on with its sockets; until the old one has ended, it hands on what is for the old
//! one's connections.

mod cid;
#[cfg(target_os = "linux")]
mod steer;
mod switch;
#[cfg(unix)]
mod way;
#[cfg(not(unix))]
#[path = "way_absent.rs"]
mod way;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::{Arc, Once};
use std::time::Duration;

use http::{Request, Response};
#[cfg(unix)]
use omnirelay_runtime::takeover::Descriptor;
use omnirelay_runtime::{Drain, ErrorKind, OperatorError, Result};
use quinn::{Endpoint, ServerConfig};
use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::warn;

use crate::body::Body;
use crate::http3;
use crate::quic;
use crate::serve::Shared;
use crate::stats::Forwarded;
use crate::tls::ServerTls;
use cid::{Place, WorkerIds};

pub(crate) use cid::Key;
pub(crate) use switch::Switch;

/// Most workers that an id has room for, and more than any machine needs.
pub(crate) const MAX_WORKERS: u32 = 64;
/// Bytes of socket buffer to ask for: bursts of datagrams are lost where it is small.
const UDP_BUFFER: usize = 4 << 20;
/// How often a worker that has served looks whether what it started has ended.
const LINGER: Duration = Duration::from_millis(100);

/// Sockets that share one address, in the order in which the kernel numbers them.
pub(crate) struct Sockets {
    sockets: Vec<Socket>,
    pub(crate) key: Key,
    /// Which process this is of those that follow each other with the same sockets.
    pub(crate) generation: u8,
    /// Whether another process still receives from them.
    inherited: bool,
    pub(crate) address: SocketAddr,
    /// Bytes of buffer each way that the kernel grants each of them.
    pub(crate) buffer: usize,
}

impl Sockets {
    /// Binds one socket a worker; `wanted` of 0 is one a core.
    pub(crate) fn bind(address: SocketAddr, wanted: u32) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let wanted = match usize::try_from(wanted.min(MAX_WORKERS)) {
            Ok(0) | Err(_) => cores.min(MAX_WORKERS as usize),
            Ok(wanted) => wanted,
        };
        let key = Key::random();
        // Alone first: whoever listens here already must be noticed and not be joined.
        let first = socket(address, false)?;
        let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let buffer = granted(&first)?;
        tell_small(buffer);
        if wanted > 1 && cfg!(target_os = "linux") {
            drop(first);
            match shared(address, wanted, &key) {
                Ok(sockets) => return Ok(Self::own(sockets, key, address, buffer)),
                Err(error) => warn!(%error, "datagrams cannot be led to workers; QUIC has one"),
            }
            return Ok(Self::own(vec![socket(address, false)?], key, address, buffer));
        }
        Ok(Self::own(vec![first], key, address, buffer))
    }

    fn own(sockets: Vec<Socket>, key: Key, address: SocketAddr, buffer: usize) -> Self {
        Self { sockets, key, generation: 0, inherited: false, address, buffer }
    }

    /// Goes on with the sockets of another process, which still receives from them.
    #[cfg(unix)]
    pub(crate) fn adopt(sockets: Vec<Descriptor>, key: Key, generation: u8) -> io::Result<Self> {
        let sockets: Vec<Socket> = sockets.into_iter().map(Socket::from).collect();
        let first = sockets.first().ok_or(io::ErrorKind::InvalidData)?;
        let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let buffer = granted(first)?;
        Ok(Self { sockets, key, generation, inherited: true, address, buffer })
    }

    /// How many there are.
    #[cfg(unix)]
    pub(crate) fn count(&self) -> usize {
        self.sockets.len()
    }
}

#[cfg(target_os = "linux")]
fn shared(address: SocketAddr, count: usize, key: &Key) -> io::Result<Vec<Socket>> {
    let sockets = (0..count).map(|_| socket(address, true)).collect::<io::Result<Vec<_>>>()?;
    if let Some(first) = sockets.first() {
        steer::attach(first, key)?;
    }
    Ok(sockets)
}

#[cfg(not(target_os = "linux"))]
fn shared(_address: SocketAddr, _count: usize, _key: &Key) -> io::Result<Vec<Socket>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes of buffer that the kernel grants, of the smaller direction; Linux tells twice as many
/// (socket(7), `SO_RCVBUF`).
fn granted(socket: &Socket) -> io::Result<usize> {
    let told = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    Ok(if cfg!(target_os = "linux") { told / 2 } else { told })
}

/// Tells the operator once, whatever the number of listeners: the kernel is the same for all.
fn tell_small(granted: usize) {
    static TOLD: Once = Once::new();
    if granted < UDP_BUFFER {
        TOLD.call_once(|| {
            warn!(
                granted,
                asked = UDP_BUFFER,
                hint = "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304",
                "the kernel grants small UDP buffers: bursts of HTTP/3 will lose datagrams"
            );
        });
    }
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(UDP_BUFFER)?;
    socket.set_send_buffer_size(UDP_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(shared)?;
    #[cfg(not(target_os = "linux"))]
    let _always_alone = shared;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The endpoints of one address.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    tls: ServerTls,
    configs: watch::Receiver<ServerConfig>,
    switches: Vec<Arc<Switch>>,
}

/// An endpoint, and the runtime that it lives on where that is not the caller's.
struct Worker {
    endpoint: Option<Endpoint>,
    runtime: Option<Runtime>,
}

impl Workers {
    /// Makes the endpoints; from here on datagrams are received, unless another process still does.
    ///
    /// # Errors
    /// A platform without threads or descriptors to spare.
    pub(crate) fn new(
        sockets: Sockets,
        config: &ServerConfig,
        tls: ServerTls,
        configs: watch::Receiver<ServerConfig>,
        forwarded: &Forwarded,
    ) -> Result<Self> {
        let broken = |error: &io::Error| {
            OperatorError::new(ErrorKind::Io, "QUIC cannot start")
                .caused_by(error)
                .hint("check the limits on threads and file descriptors (`ulimit -a`)")
        };
        let several = sockets.sockets.len() > 1;
        let (mut workers, mut switches) = (Vec::new(), Vec::new());
        let common = quic::endpoint_config();
        for (number, socket) in (0_u8..).zip(sockets.sockets) {
            let mut own = common.clone();
            let (place, key) =
                (Place { worker: number, generation: sockets.generation }, sockets.key.clone());
            own.cid_generator(move || Box::new(WorkerIds::new(place, key.clone())));
            // One thread takes its tasks as they come, so that connections need not wait for a turn.
            let (runtime, quic): (_, Arc<dyn quinn::Runtime>) = if several {
                let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
                (Some(made.map_err(|error| broken(&error))?), Arc::new(quinn::TokioRuntime))
            } else {
                (None, Arc::new(quic::Runtime))
            };
            let entered = runtime.as_ref().map(Runtime::enter);
            let udp = UdpSocket::from(socket);
            let switch =
                Switch::new(&udp, (sockets.key.clone(), sockets.generation), sockets.inherited, forwarded);
            let switch = switch.map_err(|error| broken(&error))?;
            let udp = quic.wrap_udp_socket(udp).map_err(|error| broken(&error))?;
            let udp = switch.before(udp);
            switches.push(switch);
            let endpoint = Endpoint::new_with_abstract_socket(own, Some(config.clone()), udp, quic);
            drop(entered);
            let endpoint = Some(endpoint.map_err(|error| broken(&error))?);
            workers.push(Worker { endpoint, runtime });
        }
        Ok(Self { workers, tls, configs, switches })
    }

    /// What leads datagrams to and from other processes, one a worker.
    #[cfg(unix)]
    pub(crate) fn switches(&self) -> &[Arc<Switch>] {
        &self.switches
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    /// Serves until the drain has begun and every request is answered. Dropped before that, it
    /// takes its workers and all that they do with it.
    pub(crate) async fn serve<S>(self, service: S, shared: Shared, drain: Drain)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let mut ends = Vec::new();
        let dropped = CancellationToken::new();
        let _drops = dropped.clone().drop_guard();
        self.switches.iter().for_each(|switch| switch.open());
        for mut worker in self.workers {
            let Some(endpoint) = worker.endpoint.take() else { continue };
            let (tls, configs) = (self.tls.clone(), self.configs.clone());
            let serving =
                http3::serve(endpoint, configs, tls, service.clone(), shared.clone(), drain.clone());
            let Some(runtime) = worker.runtime.take() else {
                serving.await;
                continue;
            };
            let (ended, end) = oneshot::channel();
            ends.push(end);
            let thread = std::thread::Builder::new().name("quic-worker".to_owned());
            let dropped = dropped.clone();
            let started = thread.spawn(move || {
                let whole = runtime.block_on(dropped.run_until_cancelled(serving)).is_some();
                // Nobody waits any more where the process is at its end.
                let _unheard = ended.send(());
                if whole {
                    runtime.block_on(others());
                }
            });
            if let Err(error) = started {
                warn!(%error, "a QUIC worker cannot start; check the limit on threads (`ulimit -u`)");
            }
        }
        for end in ends {
            // An error is a worker that is gone: it has ended as well.
            let _gone = end.await;
        }
    }
}

/// What a call has started on this worker, a connection to the next hop say, may serve calls of
/// other workers: it goes on until it has ended by itself.
async fn others() {
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::time::sleep(LINGER).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // One that never served; waiting for it would block, which an async caller must not.
            drop(self.endpoint.take());
            runtime.shutdown_background();
        }
    }
}
