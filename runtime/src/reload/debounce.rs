//! When files that look different are worth reading: once they have stopped changing.

/// Decides by one look after the other. `L` is what the files look like.
#[derive(Debug)]
pub(super) struct Debounce<L> {
    /// What was read last.
    read: L,
    /// The last look.
    last: L,
}

impl<L: PartialEq + Clone> Debounce<L> {
    /// The files were read when they looked so.
    pub(super) fn new(look: L) -> Self {
        Self { read: look.clone(), last: look }
    }

    /// Whether the files are to be read now: they are not what was read, and the same as at the last look.
    pub(super) fn look(&mut self, look: L) -> bool {
        let settled = look == self.last;
        self.last = look;
        settled && self.last != self.read
    }

    /// The files were read when they looked so, whatever came of it: what is broken is not read again until it
    /// is changed.
    pub(super) fn read(&mut self, look: L) {
        self.read = look.clone();
        self.last = look;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_is_read_once_it_has_settled_and_once_only() {
        let mut debounce = Debounce::new(0);
        let looks = [(0, false), (1, false), (2, false), (2, true)];
        for (look, reads) in looks {
            assert_eq!(debounce.look(look), reads, "{look}");
        }
        debounce.read(2);
        assert!(!debounce.look(2));
        assert!(!debounce.look(3));
        // Back before it settled: nothing has happened.
        assert!(!debounce.look(2) && !debounce.look(2));
    }

    proptest! {
        /// Whatever the files do, what they end up as is read at last, and nothing is read twice in a row.
        #[test]
        fn the_last_state_is_always_read(looks in proptest::collection::vec(0_u8..4, 1..60)) {
            let mut debounce = Debounce::new(0);
            let mut reads = vec![0];
            let last = *looks.last().unwrap();
            for look in looks.into_iter().chain([last, last]) {
                if debounce.look(look) {
                    debounce.read(look);
                    reads.push(look);
                }
            }
            prop_assert_eq!(*reads.last().unwrap(), last);
            prop_assert!(reads.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
