//! Telling that an exception has ended, at the time at which it does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use omnirelay_runtime::Drain;

use crate::checkpoint::Checkpoint;
use crate::checkpoints::Checkpoints;

/// The longest sleep: the wall clock may be set meanwhile.
const LONGEST: Duration = Duration::from_secs(60);

impl Checkpoints {
    /// Logs and tells each exception that ends from now on, until the drain begins. Refusing does
    /// not wait for it: every call is decided on by its own time.
    pub fn tell_expiries(self: &Arc<Self>, drain: Drain) {
        let (now, checkpoints) = (Timestamp::now(), Arc::clone(self));
        omnirelay_runtime::spawn("policy-expiry", async move {
            tokio::select! {
                () = drain.started() => {}
                () = checkpoints.tell_all(now) => {}
            }
        });
    }

    async fn tell_all(&self, mut told_until: Timestamp) {
        loop {
            let now = Timestamp::now();
            let next = self.next_expiry(told_until);
            let Some(next) = next.filter(|next| *next <= now) else {
                let left = next
                    .map_or(LONGEST, |next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
                tokio::select! {
                    () = tokio::time::sleep(left.min(LONGEST)) => {}
                    () = self.changed.notified() => {}
                }
                continue;
            };
            for checkpoint in self.all().iter() {
                let rules = checkpoint.rules();
                let ended = rules.compiled.exceptions().iter().filter(|one| one.expires == next);
                ended.for_each(|exception| checkpoint.tell_expiry(&exception.name, now));
            }
            told_until = next;
        }
    }

    fn next_expiry(&self, after: Timestamp) -> Option<Timestamp> {
        let all = self.all();
        let of_one = |checkpoint: &Arc<Checkpoint>| {
            let rules = checkpoint.rules();
            let ends = rules.compiled.exceptions().iter().map(|exception| exception.expires);
            ends.filter(|expires| *expires > after).min()
        };
        all.iter().filter_map(of_one).min()
    }
}
