//! The command line against a mesh of real processes that `omnirelay up` started.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]
#![cfg(unix)]

#[path = "mesh/backup.rs"]
mod backup;
#[path = "mesh/bootstrap.rs"]
mod bootstrap;
#[path = "mesh/calls.rs"]
mod calls;
#[path = "mesh/credentials.rs"]
mod credentials;
#[path = "mesh/daemons.rs"]
mod daemons;
#[path = "mesh/downgrades.rs"]
mod downgrades;
#[path = "mesh/golden.rs"]
mod golden;
#[path = "mesh/harness.rs"]
mod harness;
#[path = "mesh/life.rs"]
mod life;
#[path = "mesh/listings.rs"]
mod listings;
#[path = "mesh/load.rs"]
mod load;
#[path = "mesh/scripts.rs"]
mod scripts;
#[path = "mesh/watching.rs"]
mod watching;
