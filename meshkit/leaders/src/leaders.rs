//! What the module does, whatever protocol asked for it.

use meshkit_api::{Ask, Caller, Changed, Context, Decision, Gate, Listing, Paged, invalid, now, unmet};
use meshkit_leadership::Leadership;
use meshkit_model::{LeaderChange, LeaderScope, Lease, Unmet};
use meshkit_store::View;
use relay_core::Status;
use serde::Serialize;

pub(crate) struct Leaders {
    pub(crate) gate: Gate,
    pub(crate) view: View,
    pub(crate) leadership: Leadership,
}

/// Whether somebody leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "LeaderState")]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Held,
    Vacant,
    Expired,
}

/// A lease as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Leader")]
pub(crate) struct Shown {
    pub(crate) state: State,
    #[serde(flatten)]
    pub(crate) lease: Lease,
}

impl Leaders {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            gate: context.gate.clone(),
            view: context.view.clone(),
            leadership: context.leadership.clone(),
        }
    }

    pub(crate) fn show(&self, lease: Lease) -> Shown {
        let state = match &lease.holder {
            None => State::Vacant,
            Some(_) if self.leadership.is_expired(&lease.scope) => State::Expired,
            Some(_) => State::Held,
        };
        Shown { state, lease }
    }

    pub(crate) fn list(&self, listing: &Listing) -> Result<(Paged<Shown>, u64), Status> {
        let (page, revision) = {
            let tables = self.view.read();
            let page = listing.page::<Lease, _>("leases", tables.leases().after(None))?;
            let records: Vec<Lease> = page.records.into_iter().cloned().collect();
            (Paged { records, next_cursor: page.next_cursor }, tables.revision())
        };
        let records = page.records.into_iter().map(|lease| self.show(lease)).collect();
        Ok((Paged { records, next_cursor: page.next_cursor }, revision))
    }

    pub(crate) fn get(&self, scope: &str) -> Result<Shown, Status> {
        let scope: LeaderScope = scope.parse().map_err(|error| invalid(&error))?;
        let lease = self.view.get(scope.as_str()).ok_or_else(|| unknown(&scope))?;
        Ok(self.show(lease))
    }

    /// Asks the leader of a scope to give it up. It does so itself: only then nobody else leads
    /// before it has ceased to.
    pub(crate) async fn resign(
        &self,
        caller: &Caller,
        ask: &Ask,
        scope: &str,
    ) -> Result<Changed<Shown>, Status> {
        let scope: LeaderScope = scope.parse().map_err(|error| invalid(&error))?;
        let changed = self
            .gate
            .carry_out(caller, ask, scope.as_str(), &"resign", |found: Option<&Lease>| {
                let found = found.ok_or_else(|| unknown(&scope))?;
                if found.holder.is_none() {
                    return Err(unmet(&Unmet::new(
                        format!("nobody leads `{scope}`"),
                        "there is nothing to give up; `omnirelay mesh leaders status` shows who leads what",
                    )));
                }
                if found.resigning {
                    return Ok(Decision::from(found.clone()));
                }
                // It leads on until it has seen that.
                let change = LeaderChange::Renewed;
                Ok(Decision::from(Lease { resigning: true, change, changed_at: now(), ..found.clone() }))
            })
            .await?;
        Ok(Changed { record: self.show(changed.record), outcome: changed.outcome })
    }
}

fn unknown(scope: &LeaderScope) -> Status {
    Status::not_found(format!("nobody ever led `{scope}`"))
        .with_hint("`omnirelay mesh leaders status` shows which scopes there are")
}
