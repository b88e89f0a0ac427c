//! Which peer gets a call, whether a call is tried again, and which peers are left alone for now:
//! decisions without sockets, tasks or a clock. The time and the dice are arguments.
//!
//! Read first: [`Balancer`] picks a peer by the [`Load`] of each, [`Outliers`] says who is left out,
//! [`Budget`] bounds what is tried again.

mod backoff;
mod balancer;
mod budget;
mod ewma;
mod group;
mod health;
mod histogram;
mod load;
mod moment;
mod outlier;
mod random;
mod ring;
mod sticky;

#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use balancer::{Ask, Balancer, Member, Strategy, Tuning};
pub use budget::Budget;
pub use health::{Health, Thresholds};
pub use histogram::{Histogram, Percentiles};
pub use load::Load;
pub use moment::Moment;
pub use outlier::{Ejection, OutlierRules, Outliers, Reason, Seen};
pub use random::{Dice, hash};
