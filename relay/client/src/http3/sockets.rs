//! The UDP sockets that HTTP/3 connections leave from.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use relay_transport::quic;
use socket2::{Domain, Socket, Type};

/// Bytes of socket buffer to ask for: bursts of datagrams are lost where it is small.
const BUFFER: usize = 4 << 20;

/// One socket for each family of addresses, opened when it is needed and shared by all channels
/// that are made of clones of one configuration: many connections on one socket cost fewer
/// wake-ups than as many sockets.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<[Option<quinn::Endpoint>; 2]>>);

impl Sockets {
    /// Begins a connection.
    pub(super) fn connect(
        &self,
        config: &quinn::ClientConfig,
        address: SocketAddr,
        name: &str,
    ) -> io::Result<(quinn::Connecting, quinn::Endpoint)> {
        let mut endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [v4, v6] = &mut *endpoints;
        let endpoint = if address.is_ipv4() { v4 } else { v6 };
        for _ in 0..2 {
            let open = match endpoint {
                Some(open) => open.clone(),
                None => endpoint.insert(open(address)?).clone(),
            };
            match open.connect_with(config.clone(), address, name) {
                Ok(connecting) => return Ok((connecting, open)),
                // Its runtime is gone or its socket failed; the next one is new.
                Err(quinn::ConnectError::EndpointStopping) => *endpoint = None,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Err(io::Error::other(quinn::ConnectError::EndpointStopping))
    }
}

fn open(towards: SocketAddr) -> io::Result<quinn::Endpoint> {
    let ours: SocketAddr = match towards {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(Domain::for_address(ours), Type::DGRAM, None)?;
    // The kernel grants what it grants; a smaller buffer works as well.
    let _granted = (socket.set_recv_buffer_size(BUFFER), socket.set_send_buffer_size(BUFFER));
    socket.bind(&ours.into())?;
    let socket = UdpSocket::from(socket);
    quinn::Endpoint::new(quic::endpoint_config(), None, socket, Arc::new(quic::Runtime))
}
