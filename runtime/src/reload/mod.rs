//! Configuration that changes while a daemon runs.
//!
//! A reload reads all sources anew and validates the whole; then every [`Section`] whose keys have
//! changed prepares what the new configuration makes of it, and only where all of them could are
//! the changes made. Where one could not, what the others had prepared is dropped and the old
//! configuration goes on. A changed key that no section follows cannot change while running, and
//! is refused by name.
//!
//! Reloads begin by SIGHUP, by an operator, and by files that look different: they are looked at
//! every second with `stat`, links followed, which works on every file system and sees a
//! Kubernetes ConfigMap's swapped link.

mod changes;
mod debounce;
mod engine;
mod history;
mod service;
#[cfg(test)]
mod tests;

pub use engine::{Section, Staged};
pub use history::{CONFIG, ConfigStatus, Outcome, Problem, RELOAD, Reload, Trigger};
pub use service::{Reloader, Reloads};
