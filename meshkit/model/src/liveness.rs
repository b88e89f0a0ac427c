//! Judging a peer by when it was last heard.

use std::time::Duration;

use jiff::Timestamp;

use crate::peer::PeerStatus;

/// The times after which a silent peer is suspected and then given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Silence after which a peer is suspect.
    pub suspect_after: Duration,
    /// Silence after which a peer is dead; longer than `suspect_after`.
    pub dead_after: Duration,
}

impl Liveness {
    /// The status of a peer that was heard last at `heard_at` and is `current` in the records.
    ///
    /// Silence only ever makes a status worse; it takes word from the peer to make it better, so
    /// that nothing is revived by a clock that was set back or by a restarted registry. Who said
    /// goodbye has left, however long ago.
    #[must_use]
    pub fn judge(&self, current: PeerStatus, heard_at: Timestamp, now: Timestamp) -> PeerStatus {
        if current == PeerStatus::Left {
            return current;
        }
        // A negative silence is a clock that was set back: no evidence of anything.
        let silence = Duration::try_from(now.duration_since(heard_at)).unwrap_or_default();
        let by_silence = if silence >= self.dead_after {
            PeerStatus::Dead
        } else if silence >= self.suspect_after {
            PeerStatus::Suspect
        } else {
            PeerStatus::Alive
        };
        current.max(by_silence)
    }
}

#[cfg(test)]
mod tests;
