//! Which peer gets a call, whether a call is tried again, which peers are left alone for now, and how many calls may begin:
//! decisions without sockets, tasks or a clock. The time and the dice are arguments.
//!
//! Read first: [`Balancer`] picks a peer by the [`Load`] of each, [`Outliers`] says who is left out,
//! [`Budget`] bounds what is tried again, [`Bucket`] and [`AdaptiveLimit`] what begins.

mod adaptive;
mod backoff;
mod balancer;
mod budget;
mod callers;
mod ewma;
mod group;
mod health;
mod histogram;
mod load;
mod moment;
mod outlier;
mod random;
mod rate;
mod ring;
mod sticky;

#[cfg(test)]
mod tests;

pub use adaptive::{AdaptiveLimit, AdaptiveRules};
pub use backoff::Backoff;
pub use balancer::{Ask, Balancer, Member, Strategy, Tuning};
pub use budget::Budget;
pub use callers::{CallerDenied, Callers, PerCaller, Seat};
pub use health::{Health, Thresholds};
pub use histogram::{Histogram, Percentiles};
pub use load::Load;
pub use moment::Moment;
pub use outlier::{Ejection, OutlierRules, Outliers, Reason, Seen};
pub use random::{Dice, hash};
pub use rate::{Bucket, Rate};
