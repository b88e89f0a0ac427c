//! Taking an address: the sockets of a listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use omnirelay_runtime::takeover::Estate;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use crate::address::ListenAddress;
use crate::listener::ListenerConfig;
use crate::socket::{self, Door};
use crate::workers::Sockets;

#[cfg(unix)]
mod adopt;

/// Pairs of TCP and UDP ports to try where the system chooses.
const PORT_TRIES: usize = 16;

/// What a listener has taken.
pub(crate) struct Bound {
    pub(crate) door: Option<Arc<Door>>,
    pub(crate) sockets: Option<Sockets>,
    pub(crate) address: ListenAddress,
}

/// Takes the configured address for streams, datagrams or both, with what of it is inherited.
pub(crate) fn bind(
    config: &ListenerConfig,
    streams: bool,
    datagrams: bool,
    inherited: Option<Estate>,
) -> Result<Bound> {
    #[cfg(unix)]
    if let Some(estate) = inherited {
        return adopt::adopt(estate, config, streams, datagrams);
    }
    #[cfg(not(unix))]
    let _never = inherited;
    anew(config, streams, datagrams)
}

fn anew(config: &ListenerConfig, streams: bool, datagrams: bool) -> Result<Bound> {
    match &config.address {
        ListenAddress::Inet(address) => {
            let tries = if address.port() == 0 { PORT_TRIES } else { 1 };
            let mut outcome = inet(*address, config.quic_workers, streams, datagrams);
            for _ in 1..tries {
                if outcome.is_ok() {
                    break;
                }
                outcome = inet(*address, config.quic_workers, streams, datagrams);
            }
            outcome
        }
        ListenAddress::Unix(path) => unix(path, config).map_err(|error| unix_failed(&config.address, &error)),
    }
}

fn inet(mut address: SocketAddr, workers: u32, streams: bool, datagrams: bool) -> Result<Bound> {
    let mut door = None;
    if streams {
        let failed = |error| inet_failed("TCP", address, &error);
        let bound = socket::listen(address).map_err(failed)?;
        address = bound.local_addr().map_err(failed)?;
        door = Some(Arc::new(Door::Tcp(bound)));
    }
    let mut sockets = None;
    if datagrams {
        let bound = Sockets::bind(address, workers).map_err(|error| inet_failed("UDP", address, &error))?;
        address = bound.address;
        sockets = Some(bound);
    }
    Ok(Bound { door, sockets, address: address.into() })
}

#[cfg(unix)]
fn unix(path: &std::path::Path, config: &ListenerConfig) -> io::Result<Bound> {
    let door = crate::unix::UnixDoor::bind(path, config.socket_mode.bits())?;
    Ok(Bound { door: Some(Arc::new(Door::Unix(door))), sockets: None, address: config.address.clone() })
}

#[cfg(not(unix))]
fn unix(_path: &std::path::Path, _config: &ListenerConfig) -> io::Result<Bound> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn inet_failed(what: &str, address: SocketAddr, error: &io::Error) -> OperatorError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "end the process that holds it (`ss -lntup` shows which), or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine (`ip addr` lists them)",
        io::ErrorKind::PermissionDenied => "choose a port above 1023, or grant CAP_NET_BIND_SERVICE",
        _ => "check the address",
    };
    OperatorError::new(ErrorKind::Io, format!("cannot listen on {address} ({what})"))
        .caused_by(error)
        .hint(hint)
}

fn unix_failed(address: &ListenAddress, error: &io::Error) -> OperatorError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "end the process that listens there (`ss -lxp` shows which), or choose another path"
        }
        io::ErrorKind::AlreadyExists => "move the file away, or choose another path",
        io::ErrorKind::NotFound => "make the folder first",
        io::ErrorKind::PermissionDenied => "choose a folder that this user may write to",
        io::ErrorKind::Unsupported => "listen on an IP address: this platform has no socket files",
        _ => "check the path: it has at most 107 bytes",
    };
    OperatorError::new(ErrorKind::Io, format!("cannot listen on {address}")).caused_by(error).hint(hint)
}
