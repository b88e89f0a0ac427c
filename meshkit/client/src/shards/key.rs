//! The pinned way from a key to its shard, as `docs/reference/shard-hash.md` specifies it.

/// The pinned hash: FNV-1a of 64 bit, finished by MurmurHash3's fmix64.
#[must_use]
pub const fn hash(bytes: &[u8]) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        h = (h ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// The shard, 0 to `shards - 1`, that a key falls into; 0 where there are no shards.
#[must_use]
pub fn shard_of_key(key: &[u8], shards: u32) -> u32 {
    shard_of_hash(hash(key), shards)
}

/// The shard that a key of this [`hash`] falls into; 0 where there are no shards.
pub(super) fn shard_of_hash(hash: u64, shards: u32) -> u32 {
    // The remainder is below `shards`, so it fits.
    u32::try_from(hash.checked_rem(u64::from(shards)).unwrap_or(0)).unwrap_or(0)
}
