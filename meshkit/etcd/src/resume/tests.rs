//! A member with a history, a network that breaks, and the watch between them, from a seed.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::api::{KeyValue, ResponseHeader};

fn event(revision: i64) -> Event {
    let kv = KeyValue { key: b"k".to_vec(), mod_revision: revision, ..KeyValue::default() };
    Event { kv: Some(kv), ..Event::default() }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 7, revision, ..ResponseHeader::default() })
}

/// What etcd holds: one event a revision where the seed says so, and no history before `oldest`.
struct Member {
    events: Vec<i64>,
    revision: i64,
    oldest: i64,
}

impl Member {
    /// All answers of a stream that begins at `from`, in several parts by the seed.
    fn answers(&self, from: i64, seed: u64) -> VecDeque<WatchResponse> {
        let created =
            WatchResponse { header: header(self.revision), created: true, ..WatchResponse::default() };
        let mut answers = VecDeque::from([created]);
        if from < self.oldest {
            answers.push_back(WatchResponse {
                header: header(self.revision),
                canceled: true,
                compact_revision: self.oldest,
                ..WatchResponse::default()
            });
            return answers;
        }
        let due: Vec<i64> = self.events.iter().copied().filter(|revision| *revision >= from).collect();
        let chunks: Vec<&[i64]> = due.chunks(1 + usize::try_from(seed % 4).unwrap_or_default()).collect();
        for (at, chunk) in chunks.iter().enumerate() {
            answers.push_back(WatchResponse {
                header: header(self.revision),
                events: chunk.iter().copied().map(event).collect(),
                fragment: seed.is_multiple_of(3) && at + 1 < chunks.len(),
                ..WatchResponse::default()
            });
        }
        answers.push_back(WatchResponse {
            header: header(self.revision),
            watch_id: -1,
            ..WatchResponse::default()
        });
        answers
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn each_event_is_told_once_and_in_order_or_its_loss_is(
        steps in proptest::collection::vec((0_u8..12, any::<u64>()), 1..300),
    ) {
        let now = Instant::now();
        let mut member = Member { events: Vec::new(), revision: 1, oldest: 0 };
        let mut resume = Resume::new(b"k".to_vec(), Vec::new(), 1, now);
        let mut streams: Vec<(u64, VecDeque<WatchResponse>)> = Vec::new();
        // What the one above knows: the events up to a revision, by having been told or by having read.
        let (mut known, mut resyncs, mut compactions) = (1, 0, 0);
        let finish = steps.len();
        let rounds = steps.into_iter().chain((0..4_000).map(|_| (11, 1)));
        for (round, (what, seed)) in rounds.enumerate() {
            match what {
                0..=3 if round < finish => {
                    member.revision += 1;
                    if !seed.is_multiple_of(3) {
                        member.events.push(member.revision);
                        for (number, answers) in &mut streams {
                            // Only the newest stream is live; an old one still has what was under way.
                            if *number == resume.stream {
                                let mut answer = WatchResponse { header: header(member.revision), ..WatchResponse::default() };
                                answer.events.push(event(member.revision));
                                answers.push_back(answer);
                            }
                        }
                    }
                }
                4 if round < finish => {
                    member.oldest = member.revision - i64::try_from(seed % 5).unwrap_or_default();
                    compactions += 1;
                }
                // The stream breaks; what it had under way may still arrive, late and mixed with the next one's.
                5 => { resume.stream += 1; }
                6 => { streams.retain(|(number, _)| *number == resume.stream); }
                _ => {}
            }
            if !streams.iter().any(|(number, _)| *number == resume.stream) {
                let (number, request) = resume.open(now);
                prop_assert!(request.fragment && request.start_revision == resume.next());
                streams.push((number, member.answers(request.start_revision, seed)));
            }
            let any = usize::try_from(seed).unwrap_or(usize::MAX) % streams.len();
            let at = if round < finish { any } else { streams.len() - 1 };
            let (number, answers) = &mut streams[at];
            let Some(answer) = answers.pop_front() else { continue };
            let number = *number;
            // Some of what arrives arrives twice.
            if seed.is_multiple_of(7) && number != resume.stream {
                answers.push_back(answer.clone());
            }
            match resume.answer(number, answer, now) {
                Outcome::Nothing => {}
                Outcome::Events(told) => {
                    for event in told {
                        let revision = event.kv.map_or(0, |kv| kv.mod_revision);
                        let missed = member.events.iter().find(|e| **e > known && **e < revision);
                        prop_assert_eq!(missed, None, "a gap before {}", revision);
                        prop_assert!(revision > known, "{} again", revision);
                        known = revision;
                    }
                }
                Outcome::Resync(_) => {
                    resyncs += 1;
                    known = member.revision;
                    resume.at(known);
                }
                Outcome::Broken(why) => prop_assert!(false, "{}", why),
            }
        }
        prop_assert!(resyncs <= compactions, "read anew only where history is gone");
        let missed = member.events.iter().find(|revision| **revision > known);
        prop_assert_eq!(missed, None, "all was told in the end");
    }
}

#[test]
fn a_silent_stream_is_asked_and_then_given_up() {
    let now = Instant::now();
    let mut resume = Resume::new(Vec::new(), Vec::new(), 0, now);
    let (stream, _) = resume.open(now);
    assert_eq!(resume.due(now), Due::At(now + ASK_AFTER));
    let asked = now + ASK_AFTER;
    assert_eq!(resume.due(asked), Due::Ask);
    resume.asked(asked);
    assert_eq!(resume.due(asked), Due::At(asked + GIVE_UP_AFTER));
    assert_eq!(resume.due(asked + GIVE_UP_AFTER), Due::GiveUp);
    let progress = WatchResponse { header: header(9), watch_id: -1, ..WatchResponse::default() };
    assert_eq!(resume.answer(stream, progress, asked), Outcome::Nothing);
    assert_eq!((resume.next(), resume.due(asked)), (10, Due::At(asked + ASK_AFTER)));
}

#[test]
fn another_cluster_is_noticed() {
    let now = Instant::now();
    let mut resume = Resume::new(Vec::new(), Vec::new(), 0, now);
    let (stream, _) = resume.open(now);
    let answer = |cluster_id| WatchResponse {
        header: Some(ResponseHeader { cluster_id, revision: 3, ..ResponseHeader::default() }),
        created: true,
        ..WatchResponse::default()
    };
    assert_eq!(resume.answer(stream, answer(1), now), Outcome::Nothing);
    assert!(matches!(resume.answer(stream, answer(2), now), Outcome::Resync(_)));
}
