//! How every module of MeshKit speaks: who may call, how an error looks over REST and gRPC, how a
//! listing is paged and a read made conditional. It knows no module and decides nothing.
//!
//! Read first: [`Context`] is what a module is given, [`Module`] what it gives back; [`Verb`] is the
//! one table of what can be asked and by whom, [`Gate`] enforces it and carries changes out; [`Reply`]
//! is what a REST handler returns.

mod carry;
mod change;
mod condition;
mod confirm;
mod error;
mod filter;
mod gate;
mod housekeeping;
mod listing;
mod module;
mod openapi;
mod request;
mod sparse;
mod time;
mod verb;
mod watch;
mod wire;

pub use carry::{Changed, Decision, Outcome};
pub use change::{
    Ask, CONFIRMATION, CONFIRMATION_REQUIRED, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_REUSED, PRECONDITION_FAILED,
    PRECONDITION_REQUIRED, Seen,
};
pub use condition::{Reply, change_reply, etag_of_record, etag_of_revision, strong_etag};
pub use confirm::Confirmation;
pub use error::{ERROR_NAME, Problem, STATE_CONFLICT, grpc_status, invalid, store_status, unmet, valid};
pub use filter::Filter;
pub use gate::Gate;
pub use housekeeping::keep_house;
pub use listing::{Listing, MAX_PAGE, Paged, Sort, page_size, start_of_page};
pub use module::{Context, Module, Readiness};
pub use openapi::{Operation, document};
pub use request::{Caller, ListQuery, NoQuery, query, rest_body};
pub use sparse::Sparse;
pub use time::{now, timestamp};
pub use verb::{Effect, Row, Verb};
pub use watch::resume_token;
pub use wire::{grpc_answer, outcome_to_wire};
