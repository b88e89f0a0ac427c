//! Binding a shard to a peer by an operator's word.

use meshkit_api::{Ask, Caller, Changed, Decision, now, unmet, valid};
use meshkit_model::{Handover, Peer, PeerId, Phase, Shard, Unmet};
use meshkit_store::Rows as _;
use relay_core::{Code, Status};
use serde::Serialize;

use crate::shards::{Shards, no_namespace, no_shard};

/// What is asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Assignment {
    #[serde(skip)]
    pub(crate) namespace: String,
    #[serde(skip)]
    pub(crate) id: u32,
    /// Empty gives the shard back to the strategy.
    pub(crate) peer: String,
    /// The fence that the caller saw.
    pub(crate) fence: u64,
}

impl Shards {
    /// Pins a shard, or no longer. Where hand-over is immediate it moves at once, else as owners acknowledge.
    pub(crate) async fn assign(
        &self,
        caller: &Caller,
        ask: &Ask,
        asked: &Assignment,
    ) -> Result<Changed<Shard>, Status> {
        let key = Shard::key_of(&asked.namespace, asked.id);
        let peer = match asked.peer.as_str() {
            "" => None,
            peer => Some(valid(PeerId::new(peer))?),
        };
        let decide = |found: Option<&Shard>| {
            let tables = self.view.read();
            let namespace =
                tables.namespaces().get(&asked.namespace).ok_or_else(|| no_namespace(&asked.namespace))?;
            let found = found.ok_or_else(|| no_shard(namespace, asked.id))?;
            if asked.fence != found.fence {
                let message =
                    format!("shard/{key} is fenced at {}; fence {} is stale", found.fence, asked.fence);
                return Err(Status::new(Code::Aborted, message)
                    .with_name("stale-fence")
                    .with_hint("its owner changed meanwhile; read it again and decide again"));
            }
            if let Some(peer) = &peer {
                can_own(tables.peers().get(peer.as_str()), peer, &namespace.service)
                    .map_err(|error| unmet(&error))?;
            }
            let mut shard = Shard { pinned: peer.clone(), ..found.clone() };
            let moves = peer.is_some() && shard.owner != peer && namespace.handover == Handover::Immediate;
            if moves {
                shard = Shard { owner: peer.clone(), phase: Phase::Active, fence: found.fence + 1, ..shard };
            }
            if shard != *found {
                (shard.ticket, shard.changed_at) = (ask.ticket.clone(), now());
            }
            Ok(Decision::from(shard))
        };
        self.gate.carry_out(caller, ask, &key, asked, decide).await
    }
}

fn can_own(found: Option<&Peer>, peer: &PeerId, service: &str) -> Result<(), Unmet> {
    let Some(found) = found.filter(|found| found.status.may_own()) else {
        let hint = "`omnirelay mesh peers list --status alive` shows who can own";
        return Err(Unmet::new(format!("the peer `{peer}` is not there"), hint));
    };
    if found.spec.service != service {
        let problem = format!("the peer `{peer}` serves `{}` and not `{service}`", found.spec.service);
        return Err(Unmet::new(problem, format!("name a peer of `{service}`")));
    }
    Ok(())
}
