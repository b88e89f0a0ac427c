//! Numbers that look random, from a seed that the caller brings.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64` (Steele, Lea, Flood 2014), shared by threads without a lock.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    /// Dice that always fall the same for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// 64 random bits.
    pub fn roll(&self) -> u64 {
        mix(self.0.fetch_add(GOLDEN, Relaxed))
    }
}

/// The output function of `SplitMix64`: spreads a counter over 64 bits.
pub(crate) const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Another 64 bits from those that are used up.
pub(crate) const fn again(random: u64) -> u64 {
    mix(random.wrapping_add(GOLDEN))
}

/// A number below `count` from 32 random bits, without division (Lemire 2019). Its bias is at most
/// `count / 2^32`.
pub(crate) fn below(bits: u64, count: usize) -> usize {
    let product = u128::from(bits & 0xffff_ffff) * (count as u128);
    usize::try_from(product >> 32).unwrap_or(0)
}

/// Whether something of this probability happens, by 32 random bits.
pub(crate) fn happens(bits: u64, probability: f64) -> bool {
    let draw = u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX);
    f64::from(draw) < probability * 4_294_967_296.0
}

/// A hash that is the same in every process and version, so that relays agree on owners: FNV-1a
/// with the finalizer of `SplitMix64`.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    mix(fnv)
}
