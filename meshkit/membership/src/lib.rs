//! Who is there, by gossip: SWIM (Das et al. 2002) with suspicion, as foca carries it out, over
//! members that say a little about themselves.
//!
//! Read first: [`Swim`] decides, without clock, socket or randomness of its own; [`Member`] is what
//! is gossiped; [`Membership`] runs one over authenticated datagrams and shows what it knows. Whoever runs
//! it says who sent a message, by certificate; `Swim` takes nothing from anybody who speaks for another
//! member.

mod agent;
mod codec;
mod dice;
mod known;
mod member;
mod membership;
mod metrics;
mod news;
mod swim;
mod timers;
mod tuning;

pub use codec::Malformed;
pub use known::{Change, Known, Outgoing, Refusal, Standing};
pub use member::{Health, Member};
pub use membership::{Membership, Report, Seen, Settings};
pub use swim::Swim;
pub use tuning::Tuning;

/// What is spoken: it changes with the format.
pub const ALPN: &[u8] = b"omnirelay-gossip/1";
