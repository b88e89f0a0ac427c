//! The members of the gossip as peers of the registry: the node that leads writes what it sees of them, so
//! that each change is written once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshkit_api::now;
use meshkit_leadership::Lead;
use meshkit_membership::{Member, Membership, Seen, Standing};
use meshkit_model::{PeerSpec, PeerStatus};
use meshkit_store::StoreError;
use omnirelay_runtime::Drain;
use tracing::{debug, info, warn};

use crate::registry::{Registry, alive};

/// The label of peers that nobody registered: what is gossiped of them counts.
const SOURCE: (&str, &str) = ("source", "gossip");
/// How often members are heard, beside each change of them.
const HEAR: Duration = Duration::from_secs(1);

/// Feeds the registry until the drain begins.
pub(crate) fn spawn(registry: Arc<Registry>, membership: Membership, drain: Drain) {
    omnirelay_runtime::spawn("registry-gossip", async move {
        let mut changes = membership.changes();
        let mut ticks = tokio::time::interval(HEAR);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.started() => return,
                _ = ticks.tick() => {}
                // The sender lives as long as this membership.
                _ = changes.changed() => {}
            }
            let Some(lead) = registry.leads() else { continue };
            for seen in membership.members().iter() {
                match feed(&registry, &lead, seen).await {
                    Ok(()) => {}
                    Err(StoreError::Conflict { .. }) => debug!(peer = %seen.member.id, "changed meanwhile"),
                    Err(error @ StoreError::StaleFence { .. }) => {
                        info!(%error, "another node writes members down by now");
                        break;
                    }
                    Err(error) => {
                        warn!(%error, peer = %seen.member.id, "a member cannot be written down; it is tried again");
                    }
                }
            }
        }
    });
}

async fn feed(registry: &Registry, lead: &Lead, seen: &Seen) -> Result<(), StoreError> {
    let (status, action, reason) = match seen.standing {
        Standing::Alive => (PeerStatus::Alive, "peer.join", "gossips"),
        Standing::Suspect => (PeerStatus::Suspect, "peer.judge", "does not answer members"),
        Standing::Dead => (PeerStatus::Dead, "peer.judge", "answers no member"),
        Standing::Left => (PeerStatus::Left, "peer.leave", "said goodbye to the members"),
    };
    let at = now();
    if seen.standing == Standing::Alive {
        registry.note(&seen.member.id, at);
    }
    let spec = spec(&seen.member);
    let Some(mut peer) = registry.find(&spec.id) else {
        // Who is gone and was never written down is no peer.
        return match seen.standing.is_present() {
            true => registry.decree(lead, action, reason, &alive(spec, at, at)).await,
            false => Ok(()),
        };
    };
    // Who registers itself says itself how it is.
    let is_ours = peer.spec.labels.get(SOURCE.0).is_some_and(|source| source == SOURCE.1);
    if !is_ours || (peer.status == status && peer.spec == spec) {
        return Ok(());
    }
    (peer.status, peer.spec) = (status, spec);
    if seen.standing == Standing::Alive {
        peer.last_seen_at = peer.last_seen_at.max(at);
    }
    registry.decree(lead, action, reason, &peer).await
}

/// A member as a peer. Its view's version changes too often to be written down.
fn spec(member: &Member) -> PeerSpec {
    PeerSpec {
        id: member.id.clone(),
        role: member.role.clone(),
        service: String::new(),
        cluster: member.cluster.clone(),
        zone: member.zone.clone(),
        version: member.version.clone(),
        endpoints: Vec::new(),
        labels: BTreeMap::from([(SOURCE.0.to_owned(), SOURCE.1.to_owned())]),
    }
}
