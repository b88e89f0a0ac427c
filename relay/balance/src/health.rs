//! What a row of probes says of a peer.

/// How many probes in a row change the mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures that make a peer unhealthy.
    pub unhealthy: u32,
    /// Answers that make it healthy again.
    pub healthy: u32,
}

/// A peer as its probes see it: healthy until they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    down: bool,
    /// Probes in a row that speak against the present state.
    against: u32,
}

impl Health {
    /// Whether the peer may get calls.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        !self.down
    }

    /// Takes the outcome of a probe; true where the state has changed with it.
    pub fn observe(&mut self, answered: bool, thresholds: Thresholds) -> bool {
        if answered != self.down {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = if self.down { thresholds.healthy } else { thresholds.unhealthy };
        if self.against < needed {
            return false;
        }
        (self.down, self.against) = (!self.down, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_probe_says_nothing_and_three_do() {
        let thresholds = Thresholds { unhealthy: 3, healthy: 2 };
        let mut health = Health::default();
        let mut changes = |answers: &[bool]| {
            answers.iter().map(|answer| health.observe(*answer, thresholds)).collect::<Vec<_>>()
        };
        assert_eq!(changes(&[false, false, true, false, false]), [false; 5]);
        assert_eq!(changes(&[false, false, true, false, true]), [true, false, false, false, false]);
        assert_eq!(changes(&[true, true]), [true, false]);
        assert!(health.is_up());
    }
}
