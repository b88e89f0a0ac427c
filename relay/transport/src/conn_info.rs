//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use relay_core::Protocol;
use rustls_pki_types::CertificateDer;

use crate::address::ListenAddress;

/// What a server knows of the connection that brought a request; in the request's extensions.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The protocol that was negotiated.
    pub protocol: Protocol,
    /// The caller's address; behind a trusted proxy, the one that the proxy tells.
    pub remote: RemoteAddress,
    /// The trusted proxy's own address, where one stands between (PROXY protocol).
    pub proxy: Option<SocketAddr>,
    /// The listener's address.
    pub local: ListenAddress,
    /// Who the caller's certificate says that it is, where it showed one.
    pub identity: Option<PeerIdentity>,
}

/// Where a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAddress {
    /// Somewhere in a network.
    Inet(SocketAddr),
    /// A process of this machine, over a Unix socket.
    Local(LocalPeer),
}

/// A process at the other end of a Unix socket, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalPeer {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process id, where the platform tells it.
    pub pid: Option<i32>,
}

impl RemoteAddress {
    /// The address in a network, where it is one.
    #[must_use]
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Local(_) => None,
        }
    }

    /// The process of this machine, where it is one.
    #[must_use]
    pub fn local(&self) -> Option<LocalPeer> {
        match self {
            Self::Inet(_) => None,
            Self::Local(peer) => Some(*peer),
        }
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Local(peer) => write!(f, "uid:{}", peer.uid),
        }
    }
}

/// The SPIFFE id of a verified certificate.
///
/// Source: SPIFFE X.509-SVID, section 2: one URI name with the scheme `spiffe`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerIdentity(Arc<str>);

impl PeerIdentity {
    /// Reads the id of a certificate that the handshake has verified. `None` where it has no
    /// SPIFFE id, or more than one.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        let mut ids = parsed.valid_uri_names().filter(|uri| uri.starts_with("spiffe://"));
        let id = ids.next()?;
        ids.next().is_none().then(|| Self(id.into()))
    }

    /// The whole id: `spiffe://domain/path`.
    #[must_use]
    pub fn spiffe(&self) -> &str {
        &self.0
    }

    /// The last segment of the id's path: what the holder is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}
