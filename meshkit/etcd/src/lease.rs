//! What a lease needs next. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

/// A lease that is to live for as long as we do.
#[derive(Clone, Debug)]
pub struct Lease {
    ttl: Duration,
    held: Option<Held>,
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    id: i64,
    renew_at: Instant,
    /// From here on it may be gone.
    until: Instant,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask for a lease.
    Grant,
    /// Renew this one.
    Renew(i64),
    /// Nothing before this time.
    At(Instant),
}

impl Lease {
    /// A lease of this lifetime, which nobody has asked for yet.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, held: None, not_before: None }
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.held.is_some_and(|held| now >= held.until) {
            self.held = None;
        }
        if let Some(not_before) = self.not_before.filter(|not_before| now < *not_before) {
            return Next::At(self.held.map_or(not_before, |held| not_before.min(held.until)));
        }
        match self.held {
            None => Next::Grant,
            Some(held) if now >= held.renew_at => Next::Renew(held.id),
            Some(held) => Next::At(held.renew_at),
        }
    }

    /// The lease, where it certainly lives.
    #[must_use]
    pub fn id(&self, now: Instant) -> Option<i64> {
        self.held.filter(|held| now < held.until).map(|held| held.id)
    }

    /// It lives for `ttl` from when it was asked for, which is before etcd began to count; 0 says that it is gone.
    pub fn lives(&mut self, id: i64, ttl: Duration, asked_at: Instant) {
        self.not_before = None;
        self.held =
            (!ttl.is_zero()).then(|| Held { id, renew_at: asked_at + ttl / 3, until: asked_at + ttl });
    }

    /// etcd did not answer: it is asked again a sixth of the lifetime later.
    pub fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + self.ttl / 6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(12);

    proptest! {
        /// etcd as it is: it counts a lease from when the request reaches it, and forgets it after.
        #[test]
        fn no_lease_is_believed_in_that_etcd_has_forgotten(
            steps in proptest::collection::vec((0_u8..4, 0_u64..9_000), 1..200),
        ) {
            let mut now = Instant::now();
            let mut lease = Lease::new(TTL);
            let (mut ids, mut lives): (i64, Option<(i64, Instant)>) = (0, None);
            for (fate, millis) in steps {
                let asked_at = now;
                let next = lease.next(now);
                now += Duration::from_millis(millis);
                if lives.is_some_and(|(_, until)| now >= until) {
                    lives = None;
                }
                match (next, fate) {
                    (Next::At(at), _) => prop_assert!(at > asked_at && at <= asked_at + TTL, "a wait ends"),
                    // Lost on the way there, or on the way back.
                    (_, 0) => lease.failed(now),
                    (Next::Grant, _) => {
                        ids += 1;
                        lives = Some((ids, now + TTL));
                        if fate == 1 { lease.failed(now) } else { lease.lives(ids, TTL, asked_at) }
                    }
                    (Next::Renew(id), _) => {
                        let ttl = if lives.is_some_and(|(living, _)| living == id) { TTL } else { Duration::ZERO };
                        if !ttl.is_zero() {
                            lives = Some((id, now + TTL));
                        }
                        if fate == 1 { lease.failed(now) } else { lease.lives(id, ttl, asked_at) }
                    }
                }
                if let Some(id) = lease.id(now) {
                    prop_assert_eq!(lives.map(|(living, _)| living), Some(id));
                }
            }
            // With an etcd that answers there is a lease again at once, or after one wait.
            for _ in 0..4 {
                match lease.next(now) {
                    Next::Grant => lease.lives(ids + 1, TTL, now),
                    Next::Renew(id) => lease.lives(id, TTL, now),
                    Next::At(at) => now = at,
                }
            }
            prop_assert!(lease.id(now).is_some() || matches!(lease.next(now), Next::Grant));
        }
    }
}
