//! What strikes nodes: they are stopped, cut off, killed, or resign.

use std::time::Duration;

use super::rule::candidate;
use super::{NODES, What, World};

impl World {
    pub(super) fn strike(&mut self) {
        if !self.faults.strikes {
            return;
        }
        let place = usize::try_from(self.dice.below(NODES as u64)).unwrap();
        let long = Duration::from_millis(self.dice.below(6_000));
        match self.dice.below(8) {
            0 | 1 => self.nodes[place].stopped_until = self.now + long,
            2 | 3 => self.nodes[place].cut_until = self.now + long,
            // All of them lose the store at once.
            4 => self.nodes.iter_mut().for_each(|node| node.cut_until = self.now + long),
            5 => self.kill(place, long),
            6 => {
                let local = self.local(place);
                self.nodes[place].candidate.resign(local);
                self.wake(place);
            }
            _ => {}
        }
        let pause = Duration::from_millis(200 + self.dice.below(4_000));
        self.later(pause, 0, What::Strike);
    }

    /// The process dies; another one of the same name begins later.
    pub(super) fn kill(&mut self, place: usize, away: Duration) {
        let node = &mut self.nodes[place];
        node.life += 1;
        node.candidate = candidate(place, node.life);
        node.stopped_until = self.now + away;
        let pause = away + Duration::from_millis(1);
        let found = self.store.clone();
        match found {
            Some(lease) => self.later(pause, place, What::Shown { lease }),
            None => {
                let local = self.local(place);
                self.nodes[place].candidate.observe(local, None);
                self.wake_at(place, self.now + pause);
            }
        }
        self.later(pause, place, What::Acts);
    }
}
