//! From what went wrong to what the caller reads.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use meshkit_model::{Invalid, Unmet};
use meshkit_store::StoreError;
use relay_core::{Code, Status};
use relay_transport::respond;

use crate::change::{
    CONFIRMATION_REQUIRED, IDEMPOTENCY_KEY_REUSED, PRECONDITION_FAILED, PRECONDITION_REQUIRED,
};

/// The metadata of a gRPC answer that carries the error's name, such as `precondition-failed`.
pub const ERROR_NAME: &str = "mesh-error-name";
/// The name of the status where the state of the mesh does not permit a change: 409 over REST.
pub const STATE_CONFLICT: &str = "state-conflict";

/// A status that a REST handler answers with as problem details (RFC 9457).
#[derive(Clone, Debug)]
pub struct Problem(pub Status);

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let name = self.0.name.as_deref().unwrap_or_default();
        let named = match name {
            PRECONDITION_REQUIRED | CONFIRMATION_REQUIRED => Some(StatusCode::PRECONDITION_REQUIRED),
            PRECONDITION_FAILED => Some(StatusCode::PRECONDITION_FAILED),
            IDEMPOTENCY_KEY_REUSED => Some(StatusCode::UNPROCESSABLE_ENTITY),
            STATE_CONFLICT => Some(StatusCode::CONFLICT),
            _ => None,
        };
        let response = match named {
            Some(http) => respond::problem_as(&self.0, http),
            None => respond::problem(&self.0),
        };
        response.map(axum::body::Body::new)
    }
}

/// A status as gRPC carries it: the hint follows the message.
#[must_use]
pub fn grpc_status(status: &Status) -> tonic::Status {
    let message = match &status.hint {
        Some(hint) => format!("{}; {hint}", status.message),
        None => status.message.clone(),
    };
    let mut answer = tonic::Status::new(tonic::Code::from(i32::from(status.code.grpc())), message);
    if let Some(Ok(name)) = status.name.as_deref().map(str::parse) {
        answer.metadata_mut().insert(ERROR_NAME, name);
    }
    answer
}

/// A value that the mesh does not take, as a status.
#[must_use]
pub fn invalid(invalid: &Invalid) -> Status {
    Status::invalid_argument(invalid.to_string())
        .with_hint("correct the field; docs/reference/meshkit.md lists the bounds")
}

/// What the store refused, as a status.
#[must_use]
pub fn store_status(error: &StoreError) -> Status {
    match error {
        StoreError::Conflict { .. } => Status::new(Code::Aborted, error.to_string())
            .with_hint("somebody else changed it meanwhile; read it again and try again"),
        StoreError::StaleFence { .. } => Status::new(Code::Aborted, error.to_string())
            .with_hint("ownership has moved on; look the owner up again"),
        StoreError::Invalid(field) => invalid(field),
        StoreError::Unavailable(_) => Status::unavailable(error.to_string())
            .with_hint("try again; if it lasts, meshkitd's log and its disk tell why"),
        // Not `unavailable`: whoever reads that may send the same again.
        StoreError::Unknown(_) => Status::new(Code::Unknown, error.to_string())
            .with_hint("read it to see whether it was carried out, then try again if it was not"),
        StoreError::Damaged(_) => Status::new(Code::DataLoss, error.to_string())
            .with_hint("stop meshkitd and restore its store from a backup"),
    }
}

/// What the state of the mesh does not permit, as a status.
#[must_use]
pub fn unmet(unmet: &Unmet) -> Status {
    Status::new(Code::FailedPrecondition, &unmet.problem).with_name(STATE_CONFLICT).with_hint(&unmet.hint)
}

/// What a check of the model says, as a status.
///
/// # Errors
/// `invalid-argument` where a value is off.
pub fn valid<T>(outcome: Result<T, Invalid>) -> Result<T, Status> {
    outcome.map_err(|error| invalid(&error))
}
