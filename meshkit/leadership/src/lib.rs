//! Who leads: leases in the store, each under a fence that never goes back.
//!
//! Read first: [`Candidate`] decides, without clock or store; [`Leadership`] runs one for each scope
//! of a node on the store's view, and lends a [`Lead`] to whoever acts as the leader. A lead ends by
//! time without a word from anybody, so it is asked for anew before each decision, and its
//! [`guard`](Lead::guard) goes into each mutation that rests on it.

mod candidate;
mod leadership;
mod metrics;
mod seat;
mod timing;

pub use candidate::{Asks, Attempt, Candidate, Event, Outcome, Step};
pub use leadership::{Lead, Leadership, Settings, Told};
pub use timing::{Mono, Timing};
