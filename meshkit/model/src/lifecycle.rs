//! How ownership goes from one peer to another where owners acknowledge: pure decisions about one shard.
//!
//! ```text
//! owner:      assigned ──► warming ──► active ──► draining ──► (released: the successor is the owner)
//! successor:             named ──► ready
//! ```
//!
//! A planned hand-over names a successor while the owner goes on serving. Once the successor is ready the owner
//! drains: it finishes what it has and takes nothing new, and the successor holds calls back. The owner's word that it
//! released makes the successor the active owner, under the next fence, in one change of the record. So
//! a key always has somebody who takes its calls, and never two who carry them out.
//!
//! An owner serves under a lease: for [`LEASE`] from when it *sent* the last renewal that was answered. The control
//! plane counts from when it *took* that renewal, which is later, and waits [`MARGIN`] more. So an owner that crashed,
//! was paused or cut off has stopped when its shards go to others.

use std::time::Duration;

use jiff::Timestamp;

use crate::peer::PeerId;
use crate::shard::{Phase, Shard, Successor};

/// For how long an owner serves after a renewal, by its own monotonic clock.
pub const LEASE: Duration = Duration::from_millis(2_000);
/// How often an owner renews.
pub const RENEWAL: Duration = Duration::from_millis(500);
/// What the control plane waits beyond the lease: clocks may run 10 % apart, and ticks are coarse.
pub const MARGIN: Duration = Duration::from_millis(250);

/// What an owner or a successor says of a shard. It counts for the version of the record that it
/// was said of and for no other, so that words that come late or twice change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It makes itself ready.
    Warming,
    /// It is ready to serve.
    Ready,
    /// It serves nothing of the shard any more.
    Released,
    /// It is the owner by the record and holds nothing: its process is a new one.
    Restarted,
}

/// What a peer says of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who says it.
    pub peer: PeerId,
    /// The version of the record that it is about.
    pub version: u64,
    /// The fence of that record.
    pub fence: u64,
    /// What.
    pub word: Word,
}

/// What a peer's word comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The shard becomes this.
    Changes(Box<Shard>),
    /// The shard is as it was said, which counts as long as the store holds this version.
    Stands,
}

/// What a peer's word comes to; none where it counts for nothing.
#[must_use]
pub fn hear(shard: &Shard, said: &Said, now: Timestamp) -> Option<Heard> {
    if said.version != shard.record_version || said.fence != shard.fence {
        return None;
    }
    if shard.owner.as_ref() == Some(&said.peer) {
        return hear_owner(shard, said.word, now);
    }
    let named = shard.successor.as_ref().filter(|next| next.peer == said.peer)?;
    match (said.word, named.ready) {
        (Word::Ready, true) => Some(Heard::Stands),
        (Word::Ready, false) => {
            let ready = Successor { ready: true, ..named.clone() };
            Some(Heard::Changes(Box::new(Shard { successor: Some(ready), changed_at: now, ..shard.clone() })))
        }
        (Word::Warming | Word::Released | Word::Restarted, _) => None,
    }
}

fn hear_owner(shard: &Shard, word: Word, now: Timestamp) -> Option<Heard> {
    let to = |phase: Phase| Shard { phase, changed_at: now, ..shard.clone() };
    let changed = match (word, shard.phase) {
        (Word::Ready, Phase::Active) => return Some(Heard::Stands),
        (Word::Warming, Phase::Assigned) => to(Phase::Warming),
        (Word::Ready, Phase::Assigned | Phase::Warming) => to(Phase::Active),
        // Who restarted while it drained serves nothing any more either.
        (Word::Released | Word::Restarted, Phase::Draining) => match &shard.successor {
            Some(next) => give(shard, Some(&next.peer), next.ready, now),
            None => give(shard, shard.owner.as_ref(), false, now),
        },
        // What it held is gone with the process that held it, and so is the fence.
        (Word::Restarted, Phase::Active) => give(shard, shard.owner.as_ref(), false, now),
        _ => return None,
    };
    Some(Heard::Changes(Box::new(changed)))
}

/// What became of a peer, as far as ownership goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Its lease runs: it may be serving.
    Runs,
    /// It certainly serves nothing: its lease has ended, or it said goodbye.
    Over,
}

/// What is to be done about a shard whose place is with `wanted`; none where nothing is to be done.
#[must_use]
pub fn direct(
    shard: &Shard,
    wanted: Option<&PeerId>,
    hold: impl Fn(&PeerId) -> Hold,
    now: Timestamp,
) -> Option<Shard> {
    let over = |peer: &PeerId| hold(peer) == Hold::Over;
    let successor = shard.successor.as_ref().filter(|next| !over(&next.peer));
    let change = |phase: Phase, successor: Option<Successor>| {
        let changed = Shard { phase, successor, ..shard.clone() };
        (changed != *shard).then_some(Shard { changed_at: now, ..changed })
    };
    let Some(owner) = shard.owner.as_ref().filter(|owner| !over(owner)) else {
        // The fence: nobody serves it now, so whoever is ready may begin.
        return match (successor, wanted.filter(|peer| !over(peer))) {
            (Some(next), _) if next.ready => Some(give(shard, Some(&next.peer), true, now)),
            (_, Some(peer)) => Some(give(shard, Some(peer), false, now)),
            (_, None) if shard.owner.is_some() || shard.phase != Phase::Assigned => {
                Some(give(shard, None, false, now))
            }
            (_, None) => None,
        };
    };
    let elsewhere = wanted.filter(|peer| *peer != owner && !over(peer));
    match (shard.phase, elsewhere) {
        // It does not serve yet, so nobody has to be waited for.
        (Phase::Assigned | Phase::Warming, Some(peer)) => Some(give(shard, Some(peer), false, now)),
        (Phase::Assigned | Phase::Warming, None) => change(shard.phase, None),
        (Phase::Active, Some(peer)) => match successor {
            Some(next) if next.peer == *peer && next.ready => change(Phase::Draining, Some(next.clone())),
            Some(next) if next.peer == *peer => change(Phase::Active, Some(next.clone())),
            _ => change(Phase::Active, Some(Successor { peer: peer.clone(), ready: false })),
        },
        (Phase::Active, None) => change(Phase::Active, None),
        // It may have stopped: what was begun is ended, with whoever is left.
        (Phase::Draining, _) => match successor {
            Some(_) => None,
            None => Some(give(shard, Some(owner), false, now)),
        },
    }
}

/// The shard under its next fence with another owner, or with the same one anew.
fn give(shard: &Shard, owner: Option<&PeerId>, ready: bool, now: Timestamp) -> Shard {
    Shard {
        owner: owner.cloned(),
        phase: if ready { Phase::Active } else { Phase::Assigned },
        successor: None,
        fence: shard.fence + 1,
        changed_at: now,
        ..shard.clone()
    }
}

#[cfg(test)]
mod tests;
