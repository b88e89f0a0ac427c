//! Calls as each wire style has them.

mod deadline;
mod grpc;
mod http;
mod sse;
mod unary;

pub(crate) use deadline::{Deadline, exceeded, within};
pub(crate) use grpc::answer as grpc;
pub(crate) use http::answer as http;
pub(crate) use unary::Unary;
