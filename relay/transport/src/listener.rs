//! One address, TCP and UDP, every protocol.

use std::convert::Infallible;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use omnirelay_runtime::{Drain, ErrorKind, Metrics, OperatorError, Result};
use quinn::crypto::rustls::QuicServerConfig;
use relay_core::Protocol;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tower::Service;
use tracing::debug;

use crate::body::Body;
use crate::limits::Limits;
use crate::serve::Shared;
use crate::stats::ListenerStats;
use crate::tls::{self, ServerTlsConfig};
use crate::{http3, quic, tcp};

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// The address for TCP and for UDP; port 0 lets the system choose one that is free for both.
    pub address: SocketAddr,
    /// Who the server is, and whom it believes.
    pub tls: ServerTlsConfig,
    /// What is offered; HTTP/3 alone opens no TCP port, and the others alone no UDP port.
    #[serde(default = "all_protocols")]
    pub protocols: Vec<Protocol>,
    /// What a stranger may make it do.
    #[serde(default)]
    pub limits: Limits,
}

fn all_protocols() -> Vec<Protocol> {
    Protocol::ALL.to_vec()
}

/// Bytes of socket buffer to ask for: bursts of datagrams are lost where it is small.
const UDP_BUFFER: usize = 4 << 20;
/// HTTP/3 needs three streams one way; the rest is for what it may become. quinn keeps memory for
/// each that is allowed.
const UNI_STREAMS: u32 = 8;
/// Pairs of TCP and UDP ports to try where the system chooses.
const PORT_TRIES: usize = 16;

/// A bound listener.
pub struct Listener {
    tcp: Option<(TcpListener, Arc<rustls::ServerConfig>)>,
    quic: Option<quinn::Endpoint>,
    address: SocketAddr,
    protocols: Vec<Protocol>,
    shared: Shared,
}

impl Listener {
    /// Reads the TLS files, then binds. `name` stands in metrics.
    ///
    /// # Errors
    /// TLS files that cannot be used, bounds that make no sense, an address that is taken or not
    /// ours.
    pub fn bind(name: &'static str, config: &ListenerConfig, metrics: &Metrics) -> Result<Self> {
        if let Some((key, remedy)) = config.limits.problems().first() {
            return Err(OperatorError::new(
                ErrorKind::Config,
                format!("`{name}.limits.{key}` is out of bounds"),
            )
            .hint(*remedy));
        }
        if config.protocols.is_empty() {
            return Err(OperatorError::new(ErrorKind::Config, format!("`{name}.protocols` is empty"))
                .hint("leave it out for http3, http2 and http1"));
        }
        let over_tcp: Vec<Protocol> =
            config.protocols.iter().copied().filter(|one| *one != Protocol::Http3).collect();
        let wants_quic = config.protocols.contains(&Protocol::Http3);
        let tcp_tls = Arc::new(tls::server_config(&config.tls, &over_tcp)?);
        let quic_tls = tls::server_config(&config.tls, &[Protocol::Http3])?;
        let (tcp, udp, address) = bind_both(config.address, !over_tcp.is_empty(), wants_quic)?;
        let quic = match udp {
            Some(udp) => Some(endpoint(udp, quic_tls, &config.limits)?),
            None => None,
        };
        let stats = ListenerStats::new(name, metrics);
        Ok(Self {
            tcp: tcp.map(|tcp| (tcp, tcp_tls)),
            quic,
            address,
            protocols: config.protocols.clone(),
            shared: Shared::new(&config.limits, stats, address.port()),
        })
    }

    /// The bound address; the port is the real one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it speaks.
    #[must_use]
    pub fn protocols(&self) -> &[Protocol] {
        &self.protocols
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> ListenerStats {
        self.shared.stats.clone()
    }

    /// Serves until the drain has begun and every request is answered.
    pub async fn serve<S>(self, service: S, drain: Drain)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let tcp = async {
            if let Some((listener, tls)) = self.tcp {
                tcp::serve(listener, tls, service.clone(), self.shared.clone(), drain.clone()).await;
            }
        };
        let quic = async {
            if let Some(endpoint) = self.quic {
                http3::serve(endpoint, service.clone(), self.shared.clone(), drain.clone()).await;
            }
        };
        tokio::join!(tcp, quic);
    }
}

type Bound = (Option<TcpListener>, Option<UdpSocket>, SocketAddr);

fn bind_both(address: SocketAddr, tcp: bool, udp: bool) -> Result<Bound> {
    let tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    let mut outcome = bind_once(address, tcp, udp);
    for _ in 1..tries {
        if outcome.is_ok() {
            break;
        }
        outcome = bind_once(address, tcp, udp);
    }
    outcome
}

fn bind_once(mut address: SocketAddr, tcp: bool, udp: bool) -> Result<Bound> {
    let fail = |what: &str, address: SocketAddr, error: &std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "end the process that holds it (`ss -lntup` shows which), or choose another port"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "choose an address of this machine (`ip addr` lists them)"
            }
            std::io::ErrorKind::PermissionDenied => "choose a port above 1023, or grant CAP_NET_BIND_SERVICE",
            _ => "check the address",
        };
        OperatorError::new(ErrorKind::Io, format!("cannot listen on {address} ({what})"))
            .caused_by(error)
            .hint(hint)
    };
    let mut listener = None;
    if tcp {
        let bound = tcp_listener(address).map_err(|error| fail("TCP", address, &error))?;
        address = bound.local_addr().map_err(|error| fail("TCP", address, &error))?;
        listener = Some(bound);
    }
    let mut socket = None;
    if udp {
        let bound = udp_socket(address).map_err(|error| fail("UDP", address, &error))?;
        address = bound.local_addr().map_err(|error| fail("UDP", address, &error))?;
        socket = Some(bound);
    }
    Ok((listener, socket, address))
}

fn tcp_listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the old connections' TIME_WAIT; on Windows it would mean sharing.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

fn udp_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(UDP_BUFFER)?;
    socket.set_send_buffer_size(UDP_BUFFER)?;
    let granted = socket.recv_buffer_size()?;
    if granted < UDP_BUFFER {
        debug!(granted, asked = UDP_BUFFER, "the kernel grants a smaller UDP buffer (net.core.rmem_max)");
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn endpoint(socket: UdpSocket, tls: rustls::ServerConfig, limits: &Limits) -> Result<quinn::Endpoint> {
    let broken = |error: &(dyn std::error::Error + 'static)| {
        OperatorError::new(ErrorKind::Internal, "QUIC cannot start").caused_by(error)
    };
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| broken(&error))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = quic::transport_config();
    let idle = limits.idle_timeout().min(Duration::from_secs(3600));
    transport
        .max_concurrent_bidi_streams(limits.first_streams().into())
        .max_concurrent_uni_streams(UNI_STREAMS.into())
        .stream_receive_window(quinn::VarInt::from_u32(1 << 20))
        .receive_window(quinn::VarInt::from_u32(8 << 20))
        .send_window(8 << 20)
        .max_idle_timeout(Some(
            idle.try_into().map_err(|error: quinn::VarIntBoundsExceeded| broken(&error))?,
        ));
    config.transport_config(Arc::new(transport));
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new(quic::endpoint_config(), Some(config), socket, runtime)
        .map_err(|error| broken(&error))
}
