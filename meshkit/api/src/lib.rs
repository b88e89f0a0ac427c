//! How every module of MeshKit speaks: who may call, how an error looks over REST and gRPC, how a
//! listing is paged and a read made conditional. It knows no module and decides nothing.
//!
//! Read first: [`Context`] is what a module is given, [`Module`] what it gives back; [`Reply`] is
//! what a REST handler returns.

mod condition;
mod error;
mod listing;
mod module;
mod request;
mod time;

pub use condition::{Reply, etag_of_record, etag_of_revision};
pub use error::{Problem, grpc_status, invalid, store_status};
pub use listing::{MAX_PAGE, page_size, start_of_page};
pub use module::{Context, Module, Readiness};
pub use request::{Caller, json_body, json_body_or_default, query};
pub use time::{now, timestamp};
