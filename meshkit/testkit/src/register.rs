//! Whether a history of reads and writes is one that a single copy of the data could have given.
//!
//! Each record is a register whose versions count its writes, so the order in which they took
//! effect is known and needs no search: a history is linearizable when that order agrees with the
//! times at which calls began and ended.

use std::collections::BTreeMap;

/// A call and what is known of its outcome.
#[derive(Clone, Debug)]
pub struct Call {
    /// The record.
    pub key: String,
    /// When it was made at the earliest, in any unit.
    pub began: u128,
    /// When it had ended at the latest; none where nobody knows whether it ended.
    pub ended: Option<u128>,
    /// What it was.
    pub what: What,
}

/// A call's kind and outcome.
#[derive(Clone, Debug)]
pub enum What {
    /// Put this value in place of the version before `version`.
    Write {
        /// The version that it makes.
        version: u64,
        /// The value, unique among all writes.
        value: String,
        /// Whether it was acknowledged; a call without an end is neither.
        done: bool,
    },
    /// Read: a version and its value; version 0 is no record.
    Read {
        /// The version.
        version: u64,
        /// The value.
        value: String,
    },
}

/// Says what no single copy could have given; none where all could.
#[must_use]
pub fn violation(calls: &[Call]) -> Option<String> {
    let mut keys: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        keys.entry(&call.key).or_default().push(call);
    }
    keys.into_values().find_map(|calls| of_one_key(&calls))
}

fn of_one_key(calls: &[&Call]) -> Option<String> {
    // Who made each version, as far as that is known.
    let mut made: BTreeMap<u64, &str> = BTreeMap::new();
    for call in calls {
        let (version, value) = match &call.what {
            What::Write { version, value, done: true } => (*version, value.as_str()),
            What::Read { version, value } if *version > 0 => (*version, value.as_str()),
            _ => continue,
        };
        if let Some(other) = made.insert(version, value).filter(|other| *other != value) {
            return Some(format!("version {version} is both {other} and {value}: {call:?}"));
        }
    }
    for call in calls {
        match &call.what {
            // A refusal is an answer too: it must not have been carried out.
            What::Write { version, value, done: false }
                if call.ended.is_some() && made.get(version).is_some_and(|maker| maker == value) =>
            {
                return Some(format!("refused and carried out: {call:?}"));
            }
            What::Read { version, value } if *version > 0 => {
                let writer = calls.iter().find(|other| {
                    matches!(&other.what, What::Write { version: v, value: w, .. } if v == version && w == value)
                });
                match writer {
                    None => return Some(format!("nobody wrote what was read: {call:?}")),
                    Some(writer) if call.ended.is_some_and(|ended| ended < writer.began) => {
                        return Some(format!("read before it was written: {call:?} {writer:?}"));
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    // In the order of ends: whatever begins after an end sees at least what that call saw or made.
    let mut seen: Vec<(u128, u64, &Call)> =
        calls.iter().filter_map(|call| Some((call.ended?, version_of(call)?, *call))).collect();
    seen.sort_by_key(|(ended, ..)| *ended);
    let mut newest: Vec<(u128, u64, &Call)> = Vec::new();
    for (ended, version, call) in seen {
        if newest.last().is_none_or(|(_, newest, _)| version > *newest) {
            newest.push((ended, version, call));
        }
    }
    for call in calls {
        let Some(version) = version_of(call) else { continue };
        let before = newest.partition_point(|(ended, ..)| *ended < call.began);
        if let Some((_, least, earlier)) = before.checked_sub(1).map(|at| newest[at]) {
            let is_new = matches!(call.what, What::Write { .. });
            if version < least || (is_new && version == least) {
                return Some(format!("went back in time: {call:?} after {earlier:?}"));
            }
        }
    }
    None
}

fn version_of(call: &Call) -> Option<u64> {
    match &call.what {
        What::Write { version, done: true, .. } | What::Read { version, .. } => Some(*version),
        What::Write { .. } => None,
    }
}
