//! Why a call to the control plane did not succeed.

use omnirelay_runtime::{ErrorKind, OperatorError};
use relay_core::{Code, Status};

/// The metadata that carries an error's name.
const ERROR_NAME: &str = "mesh-error-name";

/// A call to the control plane that did not succeed: a canonical code, words and a hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeshError {
    /// The canonical code.
    pub code: Code,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The error's name in the mesh's own vocabulary, such as `precondition-failed`; none where the
    /// code says it all.
    pub name: Option<String>,
    /// Whom the call went to.
    pub endpoint: String,
}

impl MeshError {
    pub(crate) fn new(endpoint: &str, status: Status) -> Self {
        Self {
            code: status.code,
            message: status.message,
            hint: status.hint,
            name: status.name,
            endpoint: endpoint.to_owned(),
        }
    }

    pub(crate) fn from_grpc(endpoint: &str, status: &tonic::Status) -> Self {
        let code = Code::from_grpc(u32::try_from(i32::from(status.code())).unwrap_or(2));
        // The mesh writes its hint behind the message.
        let (message, hint) = match status.message().split_once("; ") {
            Some((message, hint)) => (message, Some(hint.to_owned())),
            None => (status.message(), None),
        };
        let message = if message.is_empty() {
            format!("the control plane answered {code}")
        } else {
            message.to_owned()
        };
        let name = status.metadata().get(ERROR_NAME).and_then(|name| name.to_str().ok());
        Self { code, message, hint, name: name.map(ToOwned::to_owned), endpoint: endpoint.to_owned() }
    }

    /// Whether a destructive verb was not confirmed: ask for a dry run, and send its token.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        self.name.as_deref() == Some("confirmation-required")
    }

    /// Whether the record changed since the caller saw it: read it again and decide again.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.name.as_deref() == Some("precondition-failed")
    }

    /// Whether the same call may do better later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable() || self.code == Code::DeadlineExceeded
    }
}

impl From<MeshError> for Status {
    fn from(error: MeshError) -> Self {
        let mut status = Self::new(error.code, error.message);
        status.hint = error.hint;
        status.name = error.name;
        status
    }
}

impl From<MeshError> for OperatorError {
    fn from(error: MeshError) -> Self {
        let (kind, fallback) = match error.code {
            Code::Unauthenticated | Code::PermissionDenied => (
                ErrorKind::Auth,
                "check the token or the client certificate, and the scope it has in meshkitd's `[auth]`",
            ),
            Code::NotFound => (ErrorKind::NotFound, "list what is there, and check the spelling"),
            Code::InvalidArgument | Code::OutOfRange => (ErrorKind::Usage, "correct the value and try again"),
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => {
                (ErrorKind::Conflict, "read the current state and try again")
            }
            Code::Unavailable | Code::ResourceExhausted => {
                (ErrorKind::Unavailable, "check that meshkitd runs and can be reached")
            }
            Code::DeadlineExceeded | Code::Cancelled => {
                (ErrorKind::Deadline, "try again, or allow more time")
            }
            Code::Unimplemented => (
                ErrorKind::NotFound,
                "check that the endpoint is meshkitd's and that it runs the module (`modules`)",
            ),
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => {
                (ErrorKind::Internal, "meshkitd's log tells more")
            }
        };
        Self::new(kind, error.message).at(error.endpoint).hint(error.hint.as_deref().unwrap_or(fallback))
    }
}
