//! How a call ended, as far as counters tell.

use http::StatusCode;
use relay_core::Code;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer that is no fault of the server.
    Answered,
    /// In a fault of the server, or without an answer.
    Failed,
    /// By the policy, before anything was done.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub(crate) const ALL: [Self; 3] = [Self::Answered, Self::Failed, Self::Refused];

    /// The outcome that an HTTP status stands for.
    #[must_use]
    pub(crate) fn of(status: StatusCode) -> Self {
        if status.is_server_error() { Self::Failed } else { Self::Answered }
    }

    /// The outcome that a canonical code stands for: the one of its HTTP status.
    #[must_use]
    pub(crate) fn of_code(code: Code) -> Self {
        if code.http_status() >= 500 { Self::Failed } else { Self::Answered }
    }

    /// The name in metrics and spans.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}
