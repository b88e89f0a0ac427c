//! Names of protocols and encodings, and how a call came to its protocol.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of HTTP that carries a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 over TLS.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/3 over QUIC.
    Http3,
}

/// How the body of a call is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Protocol Buffers.
    Protobuf,
    /// JSON.
    Json,
    /// Bytes that nobody on the way understands.
    Raw,
}

/// Why a call did not go over the most wanted protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DowngradeReason {
    /// The peer's name had no address when HTTP/3 was tried.
    NameNotResolved,
    /// No QUIC packet came back in time: UDP is blocked, or nobody listens.
    NoQuicReply,
    /// The peer speaks TLS but not the protocol.
    AlpnMismatch,
    /// The peer closed or refused the connection.
    PeerRefused,
    /// The path failed a short while ago and is left alone for now.
    PathBroken,
    /// The caller asked for another protocol.
    CallerPreference,
    /// A policy exception asks for another protocol.
    PolicyException,
}

/// The text names no member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName(
    /// The text.
    pub String,
);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not known", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl Protocol {
    /// Every protocol, most wanted first.
    pub const ALL: [Self; 3] = [Self::Http3, Self::Http2, Self::Http1];

    /// The name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Http3 => "http3",
        }
    }

    /// The name in a TLS handshake (RFC 7301).
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
            Self::Http3 => b"h3",
        }
    }

    /// The protocol of a message.
    #[must_use]
    pub fn of(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_3 => Self::Http3,
            http::Version::HTTP_2 => Self::Http2,
            _ => Self::Http1,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::Protobuf, Self::Json, Self::Raw];

    /// The name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "protobuf",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }

    /// The value of `Rpc-Encoding`.
    #[must_use]
    pub const fn yarpc(self) -> &'static str {
        match self {
            Self::Protobuf => "proto",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }

    /// The encoding of an `Rpc-Encoding` value; unknown ones are bytes to us.
    #[must_use]
    pub fn from_yarpc(text: &str) -> Self {
        Self::ALL.into_iter().find(|one| one.yarpc() == text).unwrap_or(Self::Raw)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

impl DowngradeReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::NameNotResolved,
        Self::NoQuicReply,
        Self::AlpnMismatch,
        Self::PeerRefused,
        Self::PathBroken,
        Self::CallerPreference,
        Self::PolicyException,
    ];

    /// The name in metrics, logs and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NameNotResolved => "name-not-resolved",
            Self::NoQuicReply => "no-quic-reply",
            Self::AlpnMismatch => "alpn-mismatch",
            Self::PeerRefused => "peer-refused",
            Self::PathBroken => "path-broken",
            Self::CallerPreference => "caller-preference",
            Self::PolicyException => "policy-exception",
        }
    }
}

impl fmt::Display for DowngradeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How an answer came; the channel puts it into the extensions of every response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The protocol that carried the call.
    pub protocol: Protocol,
    /// Why it is not the most wanted one, where it is not.
    pub downgrade: Option<DowngradeReason>,
}
