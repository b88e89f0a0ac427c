//! Forgetting what has been remembered long enough.

use std::time::Duration;

use meshkit_leadership::Leadership;
use meshkit_model::{IdempotentAnswer, LeaderScope};
use meshkit_store::{Mutation, StoreError, View, Write};
use omnirelay_runtime::Drain;
use tracing::warn;

use crate::time::now;

/// How often it is looked for what may go.
const PERIOD: Duration = Duration::from_secs(60);

/// Forgets old answers to requests with idempotency keys until the drain begins, while this node
/// leads the mesh.
pub fn keep_house(view: View, leadership: Leadership, drain: Drain) {
    omnirelay_runtime::spawn("idempotency-sweep", async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.started() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = forget_answers(&view, &leadership).await {
                warn!(%error, "old answers cannot be forgotten; the next sweep tries again");
            }
        }
    });
}

async fn forget_answers(view: &View, leadership: &Leadership) -> Result<(), StoreError> {
    let at = now();
    loop {
        let Some(lead) = leadership.lead(&LeaderScope::global()) else { return Ok(()) };
        let mut writes: Vec<Write> = {
            let tables = view.read();
            let old = tables.answers().after(None).filter(|answer| answer.is_old(at));
            old.take(Mutation::MAX_WRITES - 1).map(Write::delete::<IdempotentAnswer>).collect()
        };
        if writes.is_empty() {
            return Ok(());
        }
        writes.push(lead.guard());
        let mutation = Mutation { writes, ..Mutation::new("meshkitd", "idempotency.forget", at) };
        match view.commit(mutation).await {
            // An answer was written anew, or another node leads by now.
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::StaleFence { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
