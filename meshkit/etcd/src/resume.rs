//! Where a watch stands, and what is to be done with its stream. Sans-IO: time is an argument.
//!
//! etcd sends events in the order of revisions on one stream; streams break, and the next one may begin again at what
//! was seen already, at another member, or where history is gone. What comes out of here is each event once, in
//! order, or the word that some are lost.

use std::time::{Duration, Instant};

use crate::api::{Event, WatchCreateRequest, WatchResponse};

/// After so long without a word the member is asked how far it is.
pub const ASK_AFTER: Duration = Duration::from_secs(4);
/// After so long without an answer to that the stream is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// One watch over all its streams.
#[derive(Clone, Debug)]
pub struct Resume {
    key: Vec<u8>,
    range_end: Vec<u8>,
    /// The first revision that was not seen yet.
    next: i64,
    cluster: Option<u64>,
    stream: u64,
    /// Events of answers that said that more of the same follows.
    parts: Vec<Event>,
    heard_at: Instant,
    asked_at: Option<Instant>,
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing to tell.
    Nothing,
    /// These events, oldest first, none of which was told before.
    Events(Vec<Event>),
    /// Events may be lost, for this reason: everything has to be read anew, and the watch goes on
    /// after [`Resume::at`].
    Resync(String),
    /// The stream is of no more use, for this reason.
    Broken(String),
}

/// What time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time.
    At(Instant),
    /// Ask the member how far it is.
    Ask,
    /// Give the stream up.
    GiveUp,
}

impl Resume {
    /// A watch of a range for what comes after a revision.
    #[must_use]
    pub fn new(key: Vec<u8>, range_end: Vec<u8>, after: i64, now: Instant) -> Self {
        Self {
            key,
            range_end,
            next: after + 1,
            cluster: None,
            stream: 0,
            parts: Vec::new(),
            heard_at: now,
            asked_at: None,
        }
    }

    /// Begins a stream: its number, and what to ask the member for. Answers of earlier streams count no more.
    pub fn open(&mut self, now: Instant) -> (u64, WatchCreateRequest) {
        self.stream += 1;
        self.parts.clear();
        (self.heard_at, self.asked_at) = (now, None);
        let request = WatchCreateRequest {
            key: self.key.clone(),
            range_end: self.range_end.clone(),
            start_revision: self.next,
            progress_notify: true,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        (self.stream, request)
    }

    /// After everything was read anew at a revision.
    pub fn at(&mut self, revision: i64) {
        self.next = revision + 1;
        // Whatever a stream has under way belongs to before.
        self.stream += 1;
        self.parts.clear();
    }

    /// The first revision that was not seen yet.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Takes an answer of a stream.
    pub fn answer(&mut self, stream: u64, answer: WatchResponse, now: Instant) -> Outcome {
        if stream != self.stream {
            return Outcome::Nothing;
        }
        (self.heard_at, self.asked_at) = (now, None);
        let header = answer.header.unwrap_or_default();
        if *self.cluster.get_or_insert(header.cluster_id) != header.cluster_id {
            self.cluster = Some(header.cluster_id);
            return Outcome::Resync("another etcd cluster answers".to_owned());
        }
        if answer.compact_revision > 0 {
            return Outcome::Resync(format!(
                "revision {} is compacted away; the oldest that is left is {}",
                self.next, answer.compact_revision
            ));
        }
        if answer.canceled {
            return Outcome::Broken(answer.cancel_reason);
        }
        let part = !answer.events.is_empty();
        self.parts.extend(answer.events);
        if answer.fragment {
            return Outcome::Nothing;
        }
        if part || !self.parts.is_empty() {
            return self.told();
        }
        // How far the member is; while a watch is being made it may be behind what was seen at another one.
        if !answer.created {
            self.next = self.next.max(header.revision + 1);
        }
        Outcome::Nothing
    }

    fn told(&mut self) -> Outcome {
        let next = self.next;
        let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        let mut events = std::mem::take(&mut self.parts);
        events.retain(|event| revision(event) >= next);
        if !events.is_sorted_by_key(revision) {
            return Outcome::Resync("events came out of order".to_owned());
        }
        match events.last() {
            None => Outcome::Nothing,
            Some(last) => {
                self.next = revision(last) + 1;
                Outcome::Events(events)
            }
        }
    }

    /// The member was asked how far it is.
    pub fn asked(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// What time asks for.
    #[must_use]
    pub fn due(&self, now: Instant) -> Due {
        let (at, due) = match self.asked_at {
            None => (self.heard_at + ASK_AFTER, Due::Ask),
            Some(asked_at) => (asked_at + GIVE_UP_AFTER, Due::GiveUp),
        };
        if now < at { Due::At(at) } else { due }
    }
}

#[cfg(test)]
mod tests;
