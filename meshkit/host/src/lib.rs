//! meshkitd: opens the store, starts the modules that the configuration names, and serves them
//! from one listener. It composes and decides nothing.
//!
//! Read first: [`start`] is the life of the process up to `ready`.

mod app;
mod args;
mod membership;
mod methods;
mod reload;
mod restore;
mod routes;
mod store;

pub use app::start;
pub use args::{Args, Command, Restore};
pub use restore::restore;
