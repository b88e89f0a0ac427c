//! Process life for every daemon and tool of the product: start-up, configuration, telemetry,
//! named tasks and drain. It knows nothing of transports or of mesh state.
//!
//! Read first: [`bootstrap::run`] is a daemon's whole `main`, [`config::load`] reads layered
//! configuration, [`reload`] changes it while a daemon runs, [`OperatorError`] is what a person sees when something is wrong, [`Drain`]
//! ends a process without losing work, and [`takeover`] lets a new one go on with its sockets.

pub mod bootstrap;
pub mod config;
mod drain;
mod environment;
mod error;
pub mod file;
mod metrics;
mod notify;
pub mod reload;
#[cfg(unix)]
pub mod socket_file;
mod spawn;
mod startup;
pub mod takeover;
mod telemetry;
pub mod usage;

pub use drain::{Drain, DrainController, DrainGuard, DrainMax};
pub use environment::Environment;
pub use error::{ErrorKind, OperatorError, Result};
pub use metrics::Metrics;
pub use spawn::spawn;
pub use startup::{STARTUP, StartupReport, Step, StepReport, Steps};
pub use telemetry::{LogConfig, LogControl, LogFormat, LogOptions, LogSetter, LogState};
