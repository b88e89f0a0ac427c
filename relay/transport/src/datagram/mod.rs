//! Messages between equals: authenticated datagrams over QUIC (RFC 9221) with mutual TLS, and streams of one
//! direction for what is too long for one.
//!
//! One UDP socket calls and is called. A message goes over the connection that there is, or waits for the one
//! that is being made; what does not arrive is lost, as a datagram is.

mod endpoint;
mod pool;
mod stats;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omnirelay_runtime::{ErrorKind, Metrics, OperatorError, Result};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::conn_info::PeerIdentity;
use crate::tls::ServerTls;
use endpoint::Endpoint;

/// How long a message that has to arrive may take.
const DELIVERY: Duration = Duration::from_secs(1);

/// Where messages come in, and from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramConfig {
    /// The UDP address.
    pub address: SocketAddr,
    /// What is spoken.
    pub alpn: &'static [u8],
    /// The SPIFFE ids that are let in, or the beginnings of some followed by `*`.
    pub allow: Vec<String>,
    /// The longest message in bytes.
    pub max_message: usize,
    /// The most connections.
    pub max_connections: usize,
}

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it, by its certificate.
    pub from: PeerIdentity,
    /// From where.
    pub address: SocketAddr,
    /// What it says.
    pub message: Bytes,
}

/// Sends and takes messages. Cloning shares it; it ends with [`close`](Self::close).
#[derive(Clone)]
pub struct Datagrams(Arc<Endpoint>);

impl Datagrams {
    /// Takes the address and lets peers in; messages come out of the receiver, and those that nobody takes
    /// in time are dropped.
    ///
    /// # Errors
    /// An address that is taken or not ours, or TLS without authorities.
    pub fn bind(
        config: &DatagramConfig,
        tls: &ServerTls,
        metrics: &Metrics,
    ) -> Result<(Self, mpsc::Receiver<Received>)> {
        let (endpoint, inbox) = Endpoint::bind(config, tls, metrics)?;
        let endpoint = Arc::new(endpoint);
        Arc::clone(&endpoint).accept();
        Ok((Self(endpoint), inbox))
    }

    /// The bound address; the port is the real one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.address
    }

    /// Sends a message that may be lost. Never waits.
    pub fn send(&self, to: SocketAddr, message: Bytes) {
        self.0.send(to, message);
    }

    /// Finds out who is at an address.
    ///
    /// # Errors
    /// Nobody answers there, or somebody who is not let in.
    pub async fn reach(&self, to: SocketAddr) -> Result<PeerIdentity> {
        match self.0.connected(to) {
            Some((_, identity)) => Ok(identity),
            None => Arc::clone(&self.0).dial(to).await.map(|(_, identity)| identity),
        }
    }

    /// Sends a message and waits until the peer's QUIC has it, for a second at most. Whether the peer lets
    /// us in shows later.
    ///
    /// # Errors
    /// It did not arrive.
    pub async fn deliver(&self, to: SocketAddr, message: Bytes) -> Result<()> {
        let delivered = timeout(DELIVERY, async {
            let connection = match self.0.connected(to) {
                Some((connection, _)) => connection,
                None => Arc::clone(&self.0).dial(to).await?.0,
            };
            endpoint::stream(&connection, &message).await.map_err(|error| unreachable(to, &*error))
        });
        delivered.await.unwrap_or_else(|elapsed| Err(unreachable(to, &elapsed)))
    }

    /// Ends all connections; nothing is sent or taken afterwards.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

fn unreachable(to: SocketAddr, error: &(dyn std::error::Error + 'static)) -> OperatorError {
    OperatorError::new(ErrorKind::Io, format!("{to} cannot be reached"))
        .caused_by(error)
        .hint("check that it listens there, that UDP passes, and that both believe each other's authority")
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("address", &self.0.address).finish_non_exhaustive()
    }
}
