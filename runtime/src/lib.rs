//! Process life for every daemon and tool of the product: start-up, configuration, telemetry,
//! named tasks and drain. It knows nothing of transports or of mesh state.
//!
//! Read first: [`bootstrap::run`] is a daemon's whole `main`, [`config::load`] reads layered
//! configuration, [`OperatorError`] is what a person sees when something is wrong, and [`Drain`]
//! ends a process without losing work.

pub mod bootstrap;
pub mod config;
mod drain;
mod error;
pub mod file;
mod metrics;
mod spawn;
mod telemetry;

pub use drain::{Drain, DrainController, DrainGuard};
pub use error::{ErrorKind, OperatorError, Result};
pub use metrics::Metrics;
pub use spawn::spawn;
pub use telemetry::{LogFormat, LogOptions};
