//! What has to hold of what callers and owners wrote down. Pure.

use std::collections::{HashMap, HashSet};

/// A call that an owner accepted, under which fence, and between which two moments (µs) it was found to be the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The call's own name.
    pub call: String,
    /// Whose it is.
    pub shard: u32,
    /// Under which the owner accepted it.
    pub fence: u64,
    /// Who accepted it.
    pub owner: String,
    /// Before it looked whether it owns the shard.
    pub before: u64,
    /// After that.
    pub after: u64,
}

impl Accepted {
    pub(crate) fn line(&self) -> String {
        let Self { call, shard, fence, owner, before, after } = self;
        format!("{call} {shard} {fence} {owner} {before} {after}\n")
    }

    /// Reads what an owner wrote; none for a line that is not whole.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [call, shard, fence, owner, before, after] = words.as_slice() else { return None };
        Some(Self {
            call: (*call).to_owned(),
            shard: shard.parse().ok()?,
            fence: fence.parse().ok()?,
            owner: (*owner).to_owned(),
            before: before.parse().ok()?,
            after: after.parse().ok()?,
        })
    }
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The call's own name.
    pub call: String,
    /// Whose it is.
    pub shard: u32,
    /// Whether it may be carried out twice.
    pub idempotent: bool,
    /// When it began, in µs.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// Who answered, and under which fence; or what went wrong.
    pub answer: Result<(String, u64), String>,
}

/// What is wrong with a history; nothing where it is right.
#[must_use]
pub fn faults(accepted: &[Accepted], called: &[Called]) -> Vec<String> {
    let mut faults = stale_fences(accepted);
    let mut times: HashMap<&str, u32> = HashMap::new();
    for one in accepted {
        *times.entry(&one.call).or_default() += 1;
    }
    let vouched: HashSet<(&str, &str, u64)> =
        accepted.iter().map(|one| (one.call.as_str(), one.owner.as_str(), one.fence)).collect();
    for one in called {
        if let Ok((owner, fence)) = &one.answer
            && !vouched.contains(&(one.call.as_str(), owner.as_str(), *fence))
        {
            faults.push(format!("{one:?} was acknowledged, and its owner knows nothing of it"));
        }
        let carried_out = times.get(one.call.as_str()).copied().unwrap_or_default();
        if !one.idempotent && carried_out > 1 {
            faults.push(format!("{one:?} was carried out {carried_out} times"));
        }
    }
    faults
}

/// Calls that were accepted under a fence although a higher one was in use already, and fences of two owners.
fn stale_fences(accepted: &[Accepted]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut owners: HashMap<(u32, u64), &Accepted> = HashMap::new();
    let mut by_shard: HashMap<u32, Vec<&Accepted>> = HashMap::new();
    for one in accepted {
        let first = owners.entry((one.shard, one.fence)).or_insert(one);
        if first.owner != one.owner {
            faults.push(format!("two owners under one fence: {first:?} and {one:?}"));
        }
        by_shard.entry(one.shard).or_default().push(one);
    }
    for mut of_shard in by_shard.into_values() {
        of_shard.sort_by_key(|one| one.before);
        // Whoever was certainly accepted before this one began to look.
        let mut ends: Vec<&Accepted> = of_shard.clone();
        ends.sort_by_key(|one| one.after);
        let (mut ended, mut highest): (_, Option<&Accepted>) = (ends.into_iter().peekable(), None);
        for one in of_shard {
            while let Some(earlier) = ended.next_if(|earlier| earlier.after < one.before) {
                if highest.is_none_or(|highest| earlier.fence > highest.fence) {
                    highest = Some(earlier);
                }
            }
            if let Some(highest) = highest.filter(|highest| highest.fence > one.fence) {
                faults.push(format!("{one:?} was accepted under a stale fence after {highest:?}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(call: &str, fence: u64, owner: &str, before: u64, after: u64) -> Accepted {
        Accepted { call: call.to_owned(), shard: 1, fence, owner: owner.to_owned(), before, after }
    }

    fn called(call: &str, idempotent: bool, owner: &str, fence: u64) -> Called {
        let answer = Ok((owner.to_owned(), fence));
        Called { call: call.to_owned(), shard: 1, idempotent, began: 0, ended: 9, answer }
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let one = accepted("c1-2", 7, "a", 10, 11);
        assert_eq!(Accepted::read(one.line().trim_end()), Some(one));
        assert_eq!(Accepted::read("c1-2 7 a"), None);
    }

    #[test]
    fn a_write_under_a_stale_fence_is_found() {
        let before = [accepted("x", 2, "b", 10, 11), accepted("y", 1, "a", 8, 9)];
        assert!(faults(&before, &[]).is_empty(), "the order of lines says nothing");
        let after = [accepted("x", 2, "b", 10, 11), accepted("y", 1, "a", 12, 13)];
        assert!(faults(&after, &[])[0].contains("stale fence"), "{:?}", faults(&after, &[]));
        let meanwhile = [accepted("x", 2, "b", 10, 11), accepted("y", 1, "a", 9, 20)];
        assert!(faults(&meanwhile, &[]).is_empty(), "it may have looked before");
        let both = [accepted("x", 2, "b", 10, 11), accepted("y", 2, "a", 12, 13)];
        assert!(faults(&both, &[])[0].contains("two owners"));
    }

    #[test]
    fn what_was_lost_or_done_twice_is_found() {
        let one = [accepted("x", 2, "b", 10, 11)];
        assert!(faults(&one, &[called("x", false, "b", 2)]).is_empty());
        assert!(faults(&one, &[called("y", false, "b", 2)])[0].contains("knows nothing"));
        assert!(faults(&one, &[called("x", false, "b", 3)])[0].contains("knows nothing"));
        let two = [accepted("x", 2, "b", 10, 11), accepted("x", 3, "c", 20, 21)];
        assert!(faults(&two, &[called("x", true, "c", 3)]).is_empty());
        assert!(faults(&two, &[called("x", false, "c", 3)])[0].contains("2 times"));
    }
}
