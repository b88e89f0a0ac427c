//! The transport policy where calls pass: each call is decided on, counted and, where it is
//! downgraded or refused, told. The same for every daemon.
//!
//! Read first: [`Checkpoints`] are a process's endpoints, [`Checkpoint::admit`] decides on a call
//! that came in, [`Checkpoint::open`] on one that is about to go out; [`GuardLayer`] puts a service
//! of one's own behind one; [`control`] serves what was counted, [`operate`] what an operator does to a
//! daemon as a whole.

mod checkpoint;
mod checkpoints;
pub mod control;
mod counted;
mod events;
mod expiry;
mod guarded;
mod inbound;
pub mod metrics;
pub mod operate;
mod outcome;
mod sse;
#[cfg(test)]
mod tests;
mod throttle;

pub use checkpoint::{Call, Checkpoint, Passage};
pub use checkpoints::{Checkpoints, StagedCheckpoints};
pub use counted::Counted;
pub use guarded::{GuardLayer, Guarded};
pub use inbound::{Inbound, guard, is_probe};
