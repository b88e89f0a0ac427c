//! Telling that an exception has ended, at the time at which it does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use omnirelay_runtime::Drain;

use crate::checkpoints::Checkpoints;

/// The longest sleep: the wall clock may be set meanwhile.
const LONGEST: Duration = Duration::from_secs(60);

impl Checkpoints {
    /// Logs and tells each exception that ends from now on, until the drain begins. Refusing does
    /// not wait for it: every call is decided on by its own time.
    pub fn tell_expiries(self: &Arc<Self>, drain: Drain) {
        let now = Timestamp::now();
        if self.next_expiry(now).is_none() {
            return;
        }
        let checkpoints = Arc::clone(self);
        omnirelay_runtime::spawn("policy-expiry", async move {
            tokio::select! {
                () = drain.started() => {}
                () = checkpoints.tell_all(now) => {}
            }
        });
    }

    async fn tell_all(&self, mut told_until: Timestamp) {
        while let Some(next) = self.next_expiry(told_until) {
            let now = Timestamp::now();
            if now < next {
                let left = Duration::try_from(next.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(left.min(LONGEST)).await;
                continue;
            }
            for checkpoint in &self.list {
                let ended = checkpoint.compiled().exceptions().iter().filter(|one| one.expires == next);
                ended.for_each(|exception| checkpoint.tell_expiry(&exception.name, now));
            }
            told_until = next;
        }
    }

    fn next_expiry(&self, after: Timestamp) -> Option<Timestamp> {
        let all = self.list.iter().flat_map(|checkpoint| checkpoint.compiled().exceptions());
        all.map(|exception| exception.expires).filter(|expires| *expires > after).min()
    }
}
