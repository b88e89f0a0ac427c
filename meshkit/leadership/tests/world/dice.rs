//! Numbers that look random and are the same for the same seed (SplitMix64, Steele et al. 2014).

use std::time::Duration;

pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `n` less one; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    /// How long a message takes: a little, and in bad times now and then much.
    pub fn delay(&mut self, times_are_bad: bool) -> Duration {
        match self.below(50) {
            0 if times_are_bad => Duration::from_micros(self.below(3_000_000)),
            _ => Duration::from_micros(200 + self.below(5_000)),
        }
    }
}
