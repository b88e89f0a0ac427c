//! What operators do to peers: cordon, uncordon, drain and label.

use meshkit_api::{Ask, Caller, Changed, Decision, now, valid};
use meshkit_model::{Hold, HoldVerb, LabelPatch, Peer, PeerId, patch_labels};
use relay_core::Status;

use crate::registry::{Registry, seen, unknown};

impl Registry {
    /// Holds a peer back, or no longer.
    pub(crate) async fn hold(
        &self,
        caller: &Caller,
        ask: &Ask,
        id: &str,
        verb: HoldVerb,
    ) -> Result<Changed<Peer>, Status> {
        let id = valid(PeerId::new(id))?;
        let decide = |found: Option<&Peer>| {
            let found = found.ok_or_else(|| unknown(&id))?;
            let Some(next) = verb.apply(found.hold_state()) else {
                return Ok(Decision::from(found.clone()));
            };
            let owned = self.view.read().shards().count_by_owner(id.as_str());
            let hold = next.map(|state| Hold {
                state,
                since: now(),
                by: caller.id().to_owned(),
                reason: ask.reason.clone(),
                ticket: ask.ticket.clone(),
                shards_at_start: if state.keeps_shards() {
                    0
                } else {
                    u32::try_from(owned).unwrap_or(u32::MAX)
                },
                progress: None,
            });
            Ok(Decision::from(Peer { hold, ..found.clone() }))
        };
        let changed = self.gate.carry_out(caller, ask, id.as_str(), &(), decide).await?;
        Ok(self.shown(changed))
    }

    /// Sets labels over those that a peer registers with (`Some`), or hides them (`None`).
    pub(crate) async fn label(
        &self,
        caller: &Caller,
        ask: &Ask,
        id: &str,
        patch: &LabelPatch,
    ) -> Result<Changed<Peer>, Status> {
        let id = valid(PeerId::new(id))?;
        let decide = |found: Option<&Peer>| {
            let found = found.ok_or_else(|| unknown(&id))?;
            let label_patch = valid(patch_labels(&found.label_patch, patch))?;
            Ok(Decision::from(Peer { label_patch, ..found.clone() }))
        };
        let changed = self.gate.carry_out(caller, ask, id.as_str(), patch, decide).await?;
        Ok(self.shown(changed))
    }

    fn shown(&self, changed: Changed<Peer>) -> Changed<Peer> {
        Changed { record: seen(&changed.record, &self.view.read()), ..changed }
    }
}
