//! The command line against a mesh of real processes that `omnirelay up` started.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]
#![cfg(unix)]

mod calls;
mod credentials;
mod golden;
mod harness;
mod life;
mod listings;
