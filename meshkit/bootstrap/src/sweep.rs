//! Forgetting what has ended: tokens after a day, revocations once their certificate would have ended anyway, and who held
//! no certificate for a month.

use std::time::Duration;

use meshkit_api::now;
use meshkit_model::{Identity, JoinToken, Revocation, Timestamp};
use meshkit_store::{Mutation, StoreError, View, Write};
use omnirelay_runtime::Drain;
use tracing::warn;

const PERIOD: Duration = Duration::from_secs(3_600);
const DAY: i64 = 24 * 3_600;

pub(crate) fn spawn(view: View, drain: Drain) {
    omnirelay_runtime::spawn("bootstrap-sweep", async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.started() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = forget(&view, now()).await {
                warn!(%error, "what has ended cannot be forgotten; the next sweep tries again");
            }
        }
    });
}

async fn forget(view: &View, at: Timestamp) -> Result<(), StoreError> {
    loop {
        let writes: Vec<Write> = {
            let tables = view.read();
            let tokens = tables.join_tokens().after(None).filter(|token| token_is_over(token, at));
            let revocations = tables.revocations().after(None).filter(|one| revocation_is_over(one, at));
            let identities = tables.identities().after(None).filter(|one| identity_is_over(one, at));
            tokens
                .map(Write::delete::<JoinToken>)
                .chain(revocations.map(Write::delete::<Revocation>))
                .chain(identities.map(Write::delete::<Identity>))
                .take(Mutation::MAX_WRITES)
                .collect()
        };
        if writes.is_empty() {
            return Ok(());
        }
        let mutation = Mutation { writes, ..Mutation::new("meshkitd", "bootstrap.forget", at) };
        match view.commit(mutation).await {
            // Another node swept too.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

fn token_is_over(token: &JoinToken, at: Timestamp) -> bool {
    is_past(token.expires_at, DAY, at)
}

/// A day more than the certificate itself: clocks differ.
fn revocation_is_over(revocation: &Revocation, at: Timestamp) -> bool {
    revocation.expires_at.is_some_and(|end| is_past(end, DAY, at))
}

fn identity_is_over(identity: &Identity, at: Timestamp) -> bool {
    let ends = identity.certificates.iter().map(|held| held.expires_at);
    let last = ends.chain(identity.revoked_at).max().unwrap_or(identity.joined_at);
    is_past(last, 30 * DAY, at)
}

fn is_past(end: Timestamp, by: i64, at: Timestamp) -> bool {
    at.as_second() - end.as_second() > by
}
