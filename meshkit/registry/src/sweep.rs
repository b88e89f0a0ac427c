//! Noticing who fell silent: every node writes down whom it heard, and the one that leads judges.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use meshkit_api::now;
use meshkit_leadership::Lead;
use meshkit_model::{HoldState, Peer, PeerStatus};
use meshkit_store::{PeerQuery, StoreError};
use omnirelay_runtime::Drain;
use tracing::{debug, info, warn};

use crate::registry::Registry;

/// Peers read at once.
const PAGE: u32 = 1_000;

/// Sweeps about four times a suspicion time until the drain begins, and once more then, so that
/// what was heard last is written down.
pub(crate) fn spawn(registry: Arc<Registry>, drain: Drain) {
    let period = (registry.settings.liveness.suspect_after / 4)
        .clamp(Duration::from_millis(50), Duration::from_secs(1));
    // The guard belongs to the task from the start: a drain must not overtake it.
    let guard = drain.guard();
    omnirelay_runtime::spawn("registry-sweep", async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                () = drain.started() => true,
                _ = ticks.tick() => false,
            };
            match sweep(&registry).await {
                Ok(()) => {}
                Err(error @ StoreError::StaleFence { .. }) => {
                    info!(%error, "another node judges peers by now");
                }
                Err(error) => {
                    warn!(%error, "the sweep of the registry failed; the next one tries again");
                }
            }
            if ended {
                break;
            }
        }
        drop(guard);
    });
}

async fn sweep(registry: &Registry) -> Result<(), StoreError> {
    write_down(registry).await?;
    // Who speaks to another meshkitd is not silent; where that cannot be known nobody is judged.
    registry.view.hear_others().await?;
    let mut counts = HashMap::new();
    let mut query = PeerQuery { limit: PAGE, ..PeerQuery::default() };
    loop {
        let page = registry.view.peers(&query);
        query.after = page.items.last().map(|peer| peer.spec.id.to_string());
        // All at once, so that the store writes many deaths as one group.
        let lead = registry.leads();
        let verdicts = page.items.into_iter().map(|peer| judge(registry, lead.as_ref(), peer));
        for status in futures_util::future::try_join_all(verdicts).await? {
            *counts.entry(status).or_insert(0) += 1;
        }
        if !page.more {
            break;
        }
    }
    registry.metrics.set_peers(|status| counts.get(&status).copied().unwrap_or(0));
    Ok(())
}

async fn write_down(registry: &Registry) -> Result<(), StoreError> {
    let heard: Vec<_> = registry.take_heard().into_iter().collect();
    if heard.is_empty() {
        return Ok(());
    }
    let outcome = registry.view.touch(heard.clone()).await;
    if outcome.is_err() {
        registry.give_back(heard);
    }
    outcome
}

async fn judge(registry: &Registry, lead: Option<&Lead>, mut peer: Peer) -> Result<PeerStatus, StoreError> {
    let Some(lead) = lead else { return Ok(peer.status) };
    let drained = drained(registry, &mut peer);
    let heard_at = registry.heard_at(&peer);
    let status = registry.liveness().judge(peer.status, heard_at, now());
    let silent = status != peer.status;
    let (action, reason) = match (silent, drained) {
        (true, _) => ("peer.judge", "fell silent"),
        (false, true) => ("peer.drained", "owns no shard any more"),
        (false, false) => return Ok(status),
    };
    peer.status = status;
    match registry.decree(lead, action, reason, &peer).await {
        Ok(()) if !silent => info!(peer = %peer.spec.id, "peer is drained"),
        Ok(()) => {
            info!(peer = %peer.spec.id, status = status.as_str(), last_seen_at = %heard_at, "peer fell silent");
        }
        // It spoke up in this very moment, or changed otherwise: the next sweep sees.
        Err(StoreError::Conflict { .. }) => debug!(peer = %peer.spec.id, "changed while it was judged"),
        Err(error) => return Err(error),
    }
    Ok(status)
}

/// Ends a drain that has nothing left to move.
fn drained(registry: &Registry, peer: &mut Peer) -> bool {
    let owned = || registry.view.read().shards().count_by_owner(peer.spec.id.as_str());
    let is_done = peer.hold_state() == Some(HoldState::Draining) && owned() == 0;
    if let Some(hold) = peer.hold.as_mut().filter(|_| is_done) {
        (hold.state, hold.since) = (HoldState::Drained, now());
    }
    is_done
}
