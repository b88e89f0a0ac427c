//! Which connection of a pool a call goes to, and when the pool grows. It knows no connection: the
//! loads are arguments.

/// The most connections to one authority over one protocol, unless a channel wants fewer.
pub(crate) const MAX_CONNECTIONS: usize = 4;

/// How busy a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Calls on it.
    pub(crate) in_flight: usize,
    /// Calls that the peer allows at once, as far as is known.
    pub(crate) room: usize,
}

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// To this connection.
    Use(usize),
    /// To this one, where it may have to wait; another is opened beside it.
    UseAndGrow(usize),
    /// To a new connection: there is none.
    Open,
}

/// The connection with the least calls in flight, and among equals the first, so that an idle pool
/// stays on one. It grows only where every connection is full, to `most` connections.
pub(crate) fn choose(loads: impl IntoIterator<Item = Load>, most: usize) -> Choice {
    let mut count = 0;
    let mut best: Option<(usize, Load)> = None;
    let mut roomy: Option<(usize, Load)> = None;
    for (index, load) in loads.into_iter().enumerate() {
        count += 1;
        if best.is_none_or(|(_, best)| load.in_flight < best.in_flight) {
            best = Some((index, load));
        }
        let has_room = load.in_flight < load.room;
        if has_room && roomy.is_none_or(|(_, best)| load.in_flight < best.in_flight) {
            roomy = Some((index, load));
        }
    }
    match (roomy, best) {
        (Some((index, _)), _) => Choice::Use(index),
        (None, Some((index, _))) if count < most => Choice::UseAndGrow(index),
        (None, Some((index, _))) => Choice::Use(index),
        (None, None) => Choice::Open,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loads(loads: &[(usize, usize)]) -> Choice {
        choose(loads.iter().map(|&(in_flight, room)| Load { in_flight, room }), MAX_CONNECTIONS)
    }

    #[test]
    fn the_least_busy_serves_and_full_ones_make_the_pool_grow() {
        assert_eq!(loads(&[]), Choice::Open);
        assert_eq!(loads(&[(0, 100), (0, 100)]), Choice::Use(0));
        assert_eq!(loads(&[(5, 100), (2, 100), (9, 100)]), Choice::Use(1));
        assert_eq!(loads(&[(3, 3), (50, 100)]), Choice::Use(1));
        assert_eq!(loads(&[(100, 100), (99, 99)]), Choice::UseAndGrow(1));
        assert_eq!(loads(&[(9, 1); MAX_CONNECTIONS]), Choice::Use(0));
        assert_eq!(choose([Load { in_flight: 9, room: 1 }], 1), Choice::Use(0));
    }

    proptest! {
        #[test]
        fn a_call_never_waits_where_another_connection_has_room(
            pool in prop::collection::vec((0usize..20, 0usize..20), 0..6),
        ) {
            match loads(&pool) {
                Choice::Use(index) => {
                    let (in_flight, room) = pool[index];
                    let some_room = pool.iter().any(|(in_flight, room)| in_flight < room);
                    prop_assert!(in_flight < room || (!some_room && pool.len() >= MAX_CONNECTIONS));
                }
                Choice::UseAndGrow(_) => {
                    prop_assert!(pool.iter().all(|(in_flight, room)| in_flight >= room));
                    prop_assert!(pool.len() < MAX_CONNECTIONS);
                }
                Choice::Open => prop_assert!(pool.is_empty()),
            }
        }
    }
}
