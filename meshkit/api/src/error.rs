//! From what went wrong to what the caller reads.

use axum::response::{IntoResponse, Response};
use meshkit_model::Invalid;
use meshkit_store::StoreError;
use relay_core::{Code, Status};
use relay_transport::respond;

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
        respond::problem(&self.0).map(axum::body::Body::new)
    }
}

/// A status as gRPC carries it: the hint follows the message.
#[must_use]
pub fn grpc_status(status: &Status) -> tonic::Status {
    let message = match &status.hint {
        Some(hint) => format!("{}; {hint}", status.message),
        None => status.message.clone(),
    };
    tonic::Status::new(tonic::Code::from(i32::from(status.code.grpc())), message)
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
