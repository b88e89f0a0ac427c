//! Going on with what another process listens at.

use std::io;
use std::sync::Arc;

use omnirelay_runtime::takeover::Estate;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use tracing::warn;

use super::{Bound, anew};
use crate::address::ListenAddress;
use crate::heirloom::Deed;
use crate::listener::ListenerConfig;
use crate::socket::Door;
use crate::unix::UnixDoor;
use crate::workers::Sockets;

/// Takes what was inherited where it is what the configuration says, and the rest anew.
pub(super) fn adopt(
    estate: Estate,
    config: &ListenerConfig,
    streams: bool,
    datagrams: bool,
) -> Result<Bound> {
    let name = estate.name.clone();
    let broken = |error: &io::Error| {
        OperatorError::new(ErrorKind::Io, format!("the inherited sockets of `{name}` cannot be used"))
            .caused_by(error)
            .hint("end the running process first, and start without it")
    };
    let deed: Deed = serde_json::from_value(estate.about).map_err(|error| broken(&error.into()))?;
    if !fits(&config.address, &deed.address) {
        warn!(
            listener = estate.name,
            running = %deed.address,
            configured = %config.address,
            "the running process listens elsewhere; it gives that address up"
        );
        return anew(config, streams, datagrams);
    }
    let mut descriptors = estate.descriptors.into_iter();
    let missing = || broken(&io::Error::new(io::ErrorKind::InvalidData, "descriptors are missing"));
    let door = match (deed.streams, &deed.address) {
        (false, _) => None,
        (true, ListenAddress::Inet(_)) => {
            Some(Door::adopt(descriptors.next().ok_or_else(missing)?).map_err(|error| broken(&error))?)
        }
        (true, ListenAddress::Unix(path)) => {
            let (socket, inode) = descriptors.next().zip(deed.inode).ok_or_else(missing)?;
            Some(Door::Unix(UnixDoor::adopt(socket, path, inode).map_err(|error| broken(&error))?))
        }
    };
    let sockets = match deed.datagrams {
        Some(told) => {
            let adopted = Sockets::adopt(descriptors.collect(), told.key, told.generation);
            Some(adopted.map_err(|error| broken(&error))?)
        }
        None => None,
    };
    let mut bound = Bound {
        door: door.filter(|_| streams).map(Arc::new),
        sockets: sockets.filter(|_| datagrams),
        address: deed.address,
    };
    // A protocol that the running process does not speak needs a socket that it does not have.
    let missing = (streams && bound.door.is_none(), datagrams && bound.sockets.is_none());
    if missing.0 || missing.1 {
        let config = ListenerConfig { address: bound.address.clone(), ..config.clone() };
        let rest = anew(&config, missing.0, missing.1)?;
        (bound.door, bound.sockets) = (bound.door.or(rest.door), bound.sockets.or(rest.sockets));
    }
    let has = bound.sockets.as_ref().map_or(0, Sockets::count);
    let wanted = usize::try_from(config.quic_workers).unwrap_or(usize::MAX);
    if has > 0 && wanted > 0 && has != wanted {
        warn!(
            listener = name,
            has,
            wanted,
            "QUIC goes on with as many workers as the running process has; start without it for another number"
        );
    }
    Ok(bound)
}

/// Whether a running process listens where the configuration says.
fn fits(configured: &ListenAddress, running: &ListenAddress) -> bool {
    match (configured, running) {
        (ListenAddress::Inet(one), ListenAddress::Inet(other)) => {
            one.ip() == other.ip() && (one.port() == other.port() || one.port() == 0)
        }
        _ => configured == running,
    }
}
