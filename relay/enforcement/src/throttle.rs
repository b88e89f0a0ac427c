//! Keeping what happens with every call from filling logs and histories.

/// So many of a kind are told in one window.
const BURST: u32 = 16;
const WINDOW_MS: i64 = 1_000;

/// Decides which of many events of one kind are told.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    began_ms: i64,
    told: u32,
    suppressed: u64,
}

impl Throttle {
    /// Whether an event at `now_ms` is told, and then how many before it were not.
    pub(crate) fn tell(&mut self, now_ms: i64) -> Option<u64> {
        // A clock that was set back begins a window as well.
        if !(self.began_ms..self.began_ms.saturating_add(WINDOW_MS)).contains(&now_ms) {
            self.began_ms = now_ms;
            self.told = 0;
        }
        if self.told < BURST {
            self.told += 1;
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_bursts_and_nothing_is_lost_from_the_count() {
        let mut throttle = Throttle::default();
        let mut accounted = 0;
        for call in 0..10_000_i64 {
            accounted += throttle.tell(5_000_000 + call / 10).map_or(0, |suppressed| suppressed + 1);
        }
        assert_eq!(accounted, u64::from(BURST));
        assert_eq!(throttle.tell(5_001_000), Some(10_000 - u64::from(BURST)));
        assert_eq!(throttle.tell(1_000), Some(0), "a clock that was set back silences nothing");
    }
}
