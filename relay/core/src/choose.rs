//! Which peer gets a call.

/// Picks the less busy of two peers drawn at random ("The Power of Two Choices in Randomized Load
/// Balancing", Mitzenmacher 2001).
#[derive(Clone, Copy, Debug, Default)]
pub struct Chooser;

impl Chooser {
    /// The chooser's name in output.
    pub const NAME: &'static str = "two-random-choices";

    /// Picks among `peers` peers, given 64 random bits and a look at how many calls each has in
    /// flight. `None` where there are no peers.
    pub fn pick(peers: usize, random: u64, pending: impl Fn(usize) -> u64) -> Option<usize> {
        let count = u64::try_from(peers).ok().filter(|count| *count > 0)?;
        let first = (random & 0xffff_ffff) % count;
        // The second draw skips the first, so that two peers are always compared with each other.
        let second = if count == 1 { first } else { (first + 1 + (random >> 32) % (count - 1)) % count };
        let (first, second) = (usize::try_from(first).ok()?, usize::try_from(second).ok()?);
        Some(if pending(second) < pending(first) { second } else { first })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_is_picked_from_nobody() {
        assert_eq!(Chooser::pick(0, 7, |_| 0), None);
    }

    proptest! {
        #[test]
        fn the_busiest_peer_is_never_picked_while_another_is_idle(
            peers in 2usize..50, random: u64, busy in 0usize..50,
        ) {
            let busy = busy % peers;
            let picked = Chooser::pick(peers, random, |peer| u64::from(peer == busy));
            prop_assert!(picked.is_some_and(|peer| peer < peers && peer != busy));
        }
    }
}
