//! What all answers over gRPC share.

use omnirelay_proto::meshkit::v1;
use relay_core::Status;
use tonic::Response;

use crate::carry::Outcome;
use crate::error::grpc_status;
use crate::time::timestamp;

/// The outcome of a handler as gRPC answers it.
///
/// # Errors
/// What the handler says.
pub fn grpc_answer<T>(outcome: Result<T, Status>) -> Result<Response<T>, tonic::Status> {
    outcome.map(Response::new).map_err(|status| grpc_status(&status))
}

/// How a change went, as the contracts write it.
#[must_use]
pub fn outcome_to_wire(outcome: Outcome) -> v1::ChangeOutcome {
    let expires_at = outcome.confirmation.as_ref().map(|confirmation| timestamp(confirmation.expires_at));
    v1::ChangeOutcome {
        dry_run: outcome.dry_run,
        unchanged: outcome.unchanged,
        replayed: outcome.replayed,
        confirmation_token: outcome.confirmation.map(|confirmation| confirmation.token).unwrap_or_default(),
        confirmation_expires_at: expires_at,
    }
}
