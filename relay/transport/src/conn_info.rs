//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use relay_core::Protocol;
use rustls_pki_types::CertificateDer;

/// What a server knows of the connection that brought a request; in the request's extensions.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The protocol that was negotiated.
    pub protocol: Protocol,
    /// The caller's address.
    pub remote: SocketAddr,
    /// The listener's address.
    pub local: SocketAddr,
    /// Who the caller's certificate says that it is, where it showed one.
    pub identity: Option<PeerIdentity>,
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
