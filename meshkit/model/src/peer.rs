//! Who is in the mesh.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hold::{Hold, HoldState, LabelPatch, effective_labels};
use crate::invalid::{Invalid, at_most, check_name, check_text};

/// The name of a peer, unique in the mesh: 1 to 128 of `[a-z0-9.-]`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId(String);

impl PeerId {
    /// The longest id in characters.
    pub const MAX_LEN: usize = 128;

    /// Takes an id that keeps the rules.
    ///
    /// # Errors
    /// [`Invalid`] for an empty or long id and for any other character.
    pub fn new(id: impl Into<String>) -> Result<Self, Invalid> {
        let id = id.into();
        check_name("id", &id, 1, Self::MAX_LEN)?;
        Ok(Self(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PeerId {
    type Err = Invalid;

    fn from_str(id: &str) -> Result<Self, Invalid> {
        Self::new(id)
    }
}

impl TryFrom<String> for PeerId {
    type Error = Invalid;

    fn try_from(id: String) -> Result<Self, Invalid> {
        Self::new(id)
    }
}

impl From<PeerId> for String {
    fn from(id: PeerId) -> Self {
        id.0
    }
}

/// A protocol that an endpoint speaks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PeerProtocol {
    /// HTTP/1.1 over TLS.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/3 over QUIC.
    Http3,
}

impl PeerProtocol {
    /// The name on the wire: `http1`, `http2` or `http3`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Http3 => "http3",
        }
    }
}

impl FromStr for PeerProtocol {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        match name {
            "http1" => Ok(Self::Http1),
            "http2" => Ok(Self::Http2),
            "http3" => Ok(Self::Http3),
            other => {
                Err(Invalid::new("protocols", format!("has {other:?}; it knows http3, http2 and http1")))
            }
        }
    }
}

/// Where a peer can be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `https://host:port`, at most 256 bytes, the port always written.
    pub url: String,
    /// What it speaks there, most wanted first, each once.
    pub protocols: Vec<PeerProtocol>,
}

impl Endpoint {
    pub(crate) fn validate(&self, field: &str) -> Result<(), Invalid> {
        let url = format!("{field}.url");
        check_text(&url, &self.url, 256)?;
        let Some(authority) = self.url.strip_prefix("https://") else {
            return Err(Invalid::new(url, "does not begin with https://"));
        };
        let Some((host, port)) = authority.rsplit_once(':') else {
            return Err(Invalid::new(url, "names no port; write https://host:port"));
        };
        if !port.parse().is_ok_and(|port: u16| port != 0) || port.starts_with('+') {
            return Err(Invalid::new(
                url,
                format!("has the port {port:?}; ports are 1 to 65535 and nothing follows them"),
            ));
        }
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good_host = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
            }
        };
        if !good_host {
            return Err(Invalid::new(
                url,
                format!("has the host {host:?}; a host name, an IPv4 or an [IPv6] address goes there"),
            ));
        }
        let protocols = format!("{field}.protocols");
        if self.protocols.is_empty() {
            return Err(Invalid::new(protocols, "is empty; name at least one of http3, http2, http1"));
        }
        for (at, protocol) in self.protocols.iter().enumerate() {
            if self.protocols.iter().skip(at + 1).any(|p| p == protocol) {
                return Err(Invalid::new(protocols, format!("names {} twice", protocol.as_str())));
            }
        }
        Ok(())
    }
}

/// How the mesh sees a peer. The order is from well to gone.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PeerStatus {
    /// Heartbeats arrive in time.
    Alive,
    /// No heartbeat within the suspicion time.
    Suspect,
    /// No heartbeat within the failure time; it owns nothing.
    Dead,
    /// It said goodbye.
    Left,
}

impl PeerStatus {
    /// Every status, in order.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Suspect, Self::Dead, Self::Left];

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }

    /// Whether a peer in this status may own shards: a suspect one keeps what it has, so that a
    /// hiccup moves nothing.
    #[must_use]
    pub const fn may_own(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl FromStr for PeerStatus {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|status| status.as_str() == name).ok_or_else(|| {
            Invalid::new("status", format!("is {name:?}; it is one of alive, suspect, dead, left"))
        })
    }
}

/// What a peer says about itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerSpec {
    /// Its name.
    pub id: PeerId,
    /// What it does: `relay`, `service` or the operator's own word; 1 to 64 of `[a-z0-9.-]`.
    pub role: String,
    /// The service it serves, up to 128 of `[a-z0-9.-]`; empty where it serves none.
    #[serde(default)]
    pub service: String,
    /// Its cluster, up to 64 of `[a-z0-9.-]`.
    #[serde(default)]
    pub cluster: String,
    /// Its zone, up to 64 of `[a-z0-9.-]`.
    #[serde(default)]
    pub zone: String,
    /// Its software version, up to 64 bytes.
    #[serde(default)]
    pub version: String,
    /// Where it can be called, most wanted first; at most 8.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// At most 32: keys 1 to 63 of `[a-z0-9.-]`, values up to 256 bytes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl PeerSpec {
    /// The most endpoints of a peer.
    pub const MAX_ENDPOINTS: usize = 8;
    /// The most labels of a peer.
    pub const MAX_LABELS: usize = 32;

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name("role", &self.role, 1, 64)?;
        check_name("service", &self.service, 0, 128)?;
        check_name("cluster", &self.cluster, 0, 64)?;
        check_name("zone", &self.zone, 0, 64)?;
        check_text("version", &self.version, 64)?;
        at_most("endpoints", self.endpoints.len(), Self::MAX_ENDPOINTS)?;
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            endpoint.validate(&format!("endpoints[{at}]"))?;
        }
        at_most("labels", self.labels.len(), Self::MAX_LABELS)?;
        for (key, value) in &self.labels {
            check_name("labels", key, 1, 63)?;
            check_text(&format!("labels.{key}"), value, 256)?;
        }
        Ok(())
    }
}

/// A peer as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// What it said about itself.
    #[serde(flatten)]
    pub spec: PeerSpec,
    /// How the mesh sees it.
    pub status: PeerStatus,
    /// When it registered first.
    pub registered_at: Timestamp,
    /// When it was heard last, as of the registry's last sweep.
    pub last_seen_at: Timestamp,
    /// That an operator holds it back; none where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Whether it said that it is about to end, so that it gives all its shards away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// The labels that an operator set over the peer's own.
    #[serde(default, skip_serializing_if = "LabelPatch::is_empty")]
    pub label_patch: LabelPatch,
    /// Grows with every change of this record but not with heartbeats; 1 at first.
    pub record_version: u64,
}

impl Peer {
    /// A label as everybody sees it: the operator's before the peer's own.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        match self.label_patch.get(key) {
            Some(patched) => patched.as_deref(),
            None => self.spec.labels.get(key).map(String::as_str),
        }
    }

    /// The record as everybody sees it, with the operator's labels over the peer's own.
    #[must_use]
    pub fn seen(mut self) -> Self {
        if !self.label_patch.is_empty() {
            self.spec.labels = effective_labels(&self.spec.labels, &self.label_patch);
        }
        self
    }

    /// How far it is held back.
    #[must_use]
    pub fn hold_state(&self) -> Option<HoldState> {
        self.hold.as_ref().map(|hold| hold.state)
    }
}

#[cfg(test)]
mod tests;
