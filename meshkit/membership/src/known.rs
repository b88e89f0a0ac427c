//! What becomes of members and of their messages.

use std::sync::Arc;

use bytes::Bytes;
use foca::State;
use meshkit_model::PeerId;

use crate::codec::Malformed;
use crate::member::{Health, Member, Word};
use crate::news::News;
use crate::swim::Swim;

/// What is to be sent for a [`Swim`]. It may be lost, late or there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom.
    pub to: Arc<Member>,
    /// At most [`Swim::MAX_MESSAGE`] bytes; most have at most [`Swim::MAX_DATAGRAM`].
    pub message: Bytes,
}

/// What became of a member. That one is suspected is not told; [`Swim::known`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Joined(Arc<Member>),
    /// It says something else about itself, or another process of its name speaks.
    Updated(Arc<Member>),
    /// It left, or it did not answer anybody for long enough.
    Gone(Arc<Member>),
    /// The others took this member for dead, and it is back under a new edition.
    Rejoined(Arc<Member>),
}

/// How a member stands with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It answers.
    Alive,
    /// It did not answer; it may still speak up.
    Suspect,
    /// It said that it leaves.
    Left,
    /// It did not answer anybody for long enough.
    Dead,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Suspect, Self::Left, Self::Dead];

    /// Whether it counts as being there.
    #[must_use]
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }

    /// The name that people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Left => "left",
            Self::Dead => "dead",
        }
    }
}

/// A member as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it says about itself.
    pub member: Arc<Member>,
    /// How often it refuted that it is gone.
    pub incarnation: u16,
    /// How it stands.
    pub standing: Standing,
}

/// Why a datagram is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none.
    #[error("the datagram is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Its sender speaks for somebody else.
    #[error("`{sender}` speaks for `{claimed}`")]
    Impostor {
        /// Whom the certificate names.
        sender: PeerId,
        /// Whom the datagram names.
        claimed: PeerId,
    },
    /// It is longer than any.
    #[error("the datagram has {0} bytes")]
    TooLong(usize),
    /// It would make more members than there may be.
    #[error("there are {} members already", Swim::MAX_MEMBERS)]
    Full,
    /// It is for another member, or came to an end that SWIM does not know.
    #[error("{0}")]
    Odd(String),
}

impl Refusal {
    /// What it is counted under.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Impostor { .. } => "impostor",
            Self::TooLong(_) => "too-long",
            Self::Full => "full",
            Self::Odd(_) => "odd",
        }
    }
}

pub(crate) fn known(update: &foca::Member<Word>, news: &News) -> Known {
    let member = news.overlay(&update.id().member);
    let standing = match update.state() {
        State::Alive => Standing::Alive,
        State::Suspect => Standing::Suspect,
        State::Down if member.health == Health::Leaving => Standing::Left,
        State::Down => Standing::Dead,
    };
    Known { member, incarnation: update.incarnation(), standing }
}
