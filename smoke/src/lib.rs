//! What the smoke suites are written with: images in containers on a network of their own, called
//! from outside as users call them.
//!
//! Read first: [`Suite`] runs named checks over one fixture and shows every container's log where
//! one fails; [`Mesh`] is that fixture, a whole mesh of containers; [`Container`] and [`Client`]
//! are what checks talk to. docs/operations/smoke.md says how to run and extend the suites.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a check says by panicking that it failed, and a suite prints what it found"
)]

mod client;
mod container;
mod engine;
mod image;
mod mesh;
mod process;
mod role;
mod suite;
mod wait;

pub use client::{Client, Reply};
pub use container::{Container, ContainerSpec, Mount};
pub use engine::Engine;
pub use image::{Image, Program, module_archives};
pub use mesh::{Member, Mesh, STATE};
pub use process::{Ran, block_on, enter, run};
pub use suite::Suite;
pub use wait::until;
