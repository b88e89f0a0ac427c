//! Why a call got no answer.

use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError};
use relay_core::{Code, Protocol, Status};
use relay_transport::{BoxError, body};
use thiserror::Error;

use crate::http3::PathError;

/// Nothing at all came back over UDP.
#[derive(Debug, Error)]
#[error("no QUIC answer within {0:?}")]
pub(crate) struct NoQuicAnswer(pub(crate) Duration);

/// A call without an answer.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// No connection came about, so nothing was sent: trying elsewhere is safe.
    #[error("cannot connect to {endpoint} over {protocol}")]
    Connect {
        /// Whom the channel calls.
        endpoint: String,
        /// The last protocol that was tried.
        protocol: Protocol,
        /// Why.
        source: BoxError,
    },
    /// The connection broke with the request on its way: whether it was carried out is unknown.
    #[error("the call to {endpoint} over {protocol} broke off")]
    Broken {
        /// Whom the channel calls.
        endpoint: String,
        /// The protocol.
        protocol: Protocol,
        /// Why.
        source: BoxError,
    },
    /// The peer refused the request before it did anything: trying again is safe.
    #[error("{endpoint} refused the request over {protocol}")]
    Refused {
        /// Whom the channel calls.
        endpoint: String,
        /// The protocol.
        protocol: Protocol,
        /// Why.
        source: BoxError,
    },
    /// The request's own body broke off, of which the peer is innocent.
    #[error("the request's body broke off: {0}")]
    RequestBody(Status),
}

impl ChannelError {
    /// Whether the request certainly had no effect.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Refused { .. })
    }

    /// Whether the fault lies with whoever sends the request rather than with the peer or the way to it.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        matches!(self, Self::RequestBody(_))
    }

    /// Whether HTTP/3 alone was tried and nothing came back over UDP: the peer may be gone, or UDP blocked.
    #[must_use]
    pub fn got_no_quic_answer(&self) -> bool {
        let Self::Connect { source, .. } = self else { return false };
        source.downcast_ref::<PathError>().is_some_and(|error| error.source.is::<NoQuicAnswer>())
    }

    fn source_text(&self) -> String {
        let (Self::Connect { source, .. } | Self::Broken { source, .. } | Self::Refused { source, .. }) =
            self
        else {
            return self.to_string();
        };
        let mut text = source.to_string();
        let mut next = source.source();
        while let Some(error) = next {
            let words = error.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            next = error.source();
        }
        text
    }

    fn hint(&self) -> &'static str {
        if self.got_no_quic_answer() {
            return "UDP may be blocked on the way: let it pass to this port, or allow http2 as well; or the server \
                    does not run, or serves no HTTP/3";
        }
        let text = self.source_text();
        if text.contains("certificate") || text.contains("UnknownIssuer") || text.contains("UnknownCA") {
            "check that `ca` names the authority of the server and that the server's name is in its certificate"
        } else {
            "check that the server runs, the address, and that UDP and TCP reach it"
        }
    }
}

impl From<&ChannelError> for Status {
    fn from(error: &ChannelError) -> Self {
        let code = match error {
            ChannelError::Connect { .. } => Code::Unavailable,
            // A peer that ended the stream has said why.
            ChannelError::Broken { source, .. } | ChannelError::Refused { source, .. } => {
                body::broken(source.as_ref()).code
            }
            ChannelError::RequestBody(status) => return status.clone(),
        };
        Self::new(code, format!("{error}: {}", error.source_text())).with_hint(error.hint())
    }
}

impl From<ChannelError> for Status {
    fn from(error: ChannelError) -> Self {
        Self::from(&error)
    }
}

impl From<ChannelError> for OperatorError {
    fn from(error: ChannelError) -> Self {
        Self::new(ErrorKind::Unavailable, error.to_string()).because(error.source_text()).hint(error.hint())
    }
}
