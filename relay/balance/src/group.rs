//! Members that take calls together, by their weights.

/// Turns in one round at most.
const MAX_TURNS: u64 = 4096;

/// Members in an order in which each comes as often as its weight asks for and as evenly spread as
/// that goes: taken one after the other it is a round robin, drawn at random it is a weighted choice.
#[derive(Debug, Default)]
pub(crate) struct Group {
    turns: Box<[u32]>,
    members: Box<[u32]>,
}

impl Group {
    /// A group of members by index and weight.
    pub(crate) fn new(members: &[(u32, u32)]) -> Self {
        let divisor = members.iter().map(|(_, weight)| *weight).fold(0, gcd).max(1);
        let total: u64 = members.iter().map(|(_, weight)| u64::from(weight / divisor)).sum();
        let turns_of = |weight: u32| {
            let weight = u64::from(weight / divisor);
            if total <= MAX_TURNS { weight } else { (weight * MAX_TURNS).div_ceil(total) }
        };
        let mut turns: Vec<(u64, u32)> = Vec::new();
        for (index, weight) in members {
            let count = turns_of(*weight);
            // The middle of each of `count` equal parts of a round.
            turns.extend((0..count).map(|turn| ((2 * turn + 1) * (u64::MAX / (2 * count)), *index)));
        }
        turns.sort_unstable();
        Self {
            turns: turns.into_iter().map(|(_, index)| index).collect(),
            members: members.iter().map(|(index, _)| *index).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.turns.len()
    }

    /// The member whose turn it is.
    pub(crate) fn turn(&self, turn: usize) -> Option<usize> {
        self.turns.get(turn).map(|index| *index as usize)
    }

    /// Each member once, beginning at one of them.
    pub(crate) fn all_from(&self, start: usize) -> impl Iterator<Item = usize> {
        let (before, after) = self.members.split_at(start.min(self.members.len()));
        after.iter().chain(before).map(|index| *index as usize)
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
