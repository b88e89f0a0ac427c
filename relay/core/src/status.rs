//! The outcome of a call that did not succeed.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use crate::code::Code;

/// Why a call failed: a canonical code, words for a person, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The canonical code.
    pub code: Code,
    /// A fragment for a person; it carries no secret.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// The error's name in the service's own vocabulary (`Rpc-Error-Name`).
    pub name: Option<String>,
    /// More of it for programs: an encoded `google.rpc.Status`
    /// (<https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto>), empty where
    /// there is none. gRPC carries it in `grpc-status-details-bin`, YARPC over HTTP in
    /// `Rpc-Error-Details`, both as base64. Peers bound header sections: keep it below 4 KiB.
    pub details: Bytes,
    /// After how many milliseconds it is worth trying again, where that is known.
    pub retry_after_ms: Option<NonZeroU32>,
}

impl Status {
    /// Makes a status without hint and name.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            name: None,
            details: Bytes::new(),
            retry_after_ms: None,
        }
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error's name in the service's own vocabulary.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds an encoded `google.rpc.Status`.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }

    /// Adds after how long it is worth trying again, in whole milliseconds from 1 up.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let millis = u32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
        self.retry_after_ms = Some(NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// The caller sent something that cannot be right whatever the state.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// What was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// Nobody knows who calls.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, message)
    }

    /// The caller is known and may not.
    pub fn permission_denied(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, message)
    }

    /// The other side is away; trying again is right.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// The caller waits no longer.
    pub fn deadline_exceeded(message: impl Into<String>) -> Self {
        Self::new(Code::DeadlineExceeded, message)
    }

    /// A bound was reached.
    pub fn resource_exhausted(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, message)
    }

    /// Nobody serves this procedure.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(Code::Unimplemented, message)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}

impl From<Infallible> for Status {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
