//! How a call is carried, and names for the ways that a policy knows.

use std::fmt;

use relay_core::{Encoding, Protocol, RpcStyle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rule or an exception can name: a version of HTTP for calls of every style, or gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Anything over HTTP/3.
    Http3,
    /// Anything over HTTP/2.
    Http2,
    /// Anything over HTTP/1.1.
    Http1,
    /// gRPC over HTTP/3, and over HTTP/2 where that does not work; nothing that is not gRPC.
    Grpc,
}

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// YARPC over HTTP, REST, or anything else that is no gRPC.
    Http,
    /// gRPC.
    Grpc,
}

/// How one call is carried: all that a policy decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// How it is written.
    pub style: Style,
    /// How its body is encoded.
    pub encoding: Encoding,
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protocols(u8);

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::Http3, Self::Http2, Self::Http1, Self::Grpc];

    /// Whether a call of this protocol and style is meant.
    #[must_use]
    pub const fn carries(self, protocol: Protocol, style: Style) -> bool {
        match self {
            Self::Http3 => matches!(protocol, Protocol::Http3),
            Self::Http2 => matches!(protocol, Protocol::Http2),
            Self::Http1 => matches!(protocol, Protocol::Http1),
            Self::Grpc => matches!(style, Style::Grpc) && !matches!(protocol, Protocol::Http1),
        }
    }

    /// The protocols that are meant, most wanted first.
    #[must_use]
    pub const fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Http3 => &[Protocol::Http3],
            Self::Http2 => &[Protocol::Http2],
            Self::Http1 => &[Protocol::Http1],
            Self::Grpc => &[Protocol::Http3, Protocol::Http2],
        }
    }

    /// The name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http3 => "http3",
            Self::Http2 => "http2",
            Self::Http1 => "http1",
            Self::Grpc => "grpc",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Style {
    /// Every style.
    pub const ALL: [Self; 2] = [Self::Http, Self::Grpc];
}

impl From<RpcStyle> for Style {
    fn from(style: RpcStyle) -> Self {
        match style {
            RpcStyle::Grpc => Self::Grpc,
            RpcStyle::Yarpc | RpcStyle::Http => Self::Http,
        }
    }
}

impl Wire {
    /// How many there are.
    pub(crate) const COUNT: usize = Protocol::ALL.len() * Style::ALL.len() * Encoding::ALL.len();

    /// A place in a table of [`Wire::COUNT`].
    pub(crate) const fn index(self) -> usize {
        (self.style as usize * Protocol::ALL.len() + self.protocol as usize) * Encoding::ALL.len()
            + self.encoding as usize
    }

    /// Every wire, each at its place in a table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Style::ALL.into_iter().flat_map(|style| {
            Protocol::ALL.into_iter().flat_map(move |protocol| {
                Encoding::ALL.into_iter().map(move |encoding| Self { protocol, style, encoding })
            })
        })
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grpc = if self.style == Style::Grpc { "gRPC over " } else { "" };
        write!(f, "{grpc}{} with {}", self.protocol, self.encoding)
    }
}

impl Protocols {
    /// No protocol.
    pub const NONE: Self = Self(0);

    /// The set with one more.
    #[must_use]
    pub const fn with(self, protocol: Protocol) -> Self {
        Self(self.0 | 1 << protocol as u8)
    }

    /// Whether a protocol is in the set.
    #[must_use]
    pub const fn contains(self, protocol: Protocol) -> bool {
        self.0 & 1 << protocol as u8 != 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A number below 8 of its own for each set.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        protocols.into_iter().fold(Self::NONE, Self::with)
    }
}
