//! What the module does, whatever protocol asked for it.

use meshkit_api::{Ask, Caller, Changed, Context, Decision, Gate, Listing, Paged, now, unmet, valid};
use meshkit_model::{
    Cluster, ClusterRequest, ClusterSpec, ClusterState, Kind, Record as _, decide_cluster, merge_patch,
};
use meshkit_store::{Holds, Rows as _, View, Write};
use relay_core::{Code, Status};
use serde::Serialize;
use serde_json::Value;

/// The most clusters of a mesh: every change of state looks at all of them.
const MAX_CLUSTERS: usize = 1_000;

pub(crate) struct Clusters {
    pub(crate) gate: Gate,
    pub(crate) view: View,
}

/// What tells a change of state from another, for idempotency and confirmation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Step {
    Promote { pass_over: bool },
    Demote { to: Option<ClusterState> },
}

impl Clusters {
    pub(crate) fn new(context: &Context) -> Self {
        Self { gate: context.gate.clone(), view: context.view.clone() }
    }

    pub(crate) fn list(&self, listing: &Listing) -> Result<(Paged<Cluster>, u64), Status> {
        let tables = self.view.read();
        let page = listing.page::<Cluster, _>("clusters", tables.clusters().after(None))?;
        let records = page.records.into_iter().cloned().collect();
        Ok((Paged { records, next_cursor: page.next_cursor }, tables.revision()))
    }

    pub(crate) fn get(&self, id: &str) -> Result<Cluster, Status> {
        self.view.get(id).ok_or_else(|| unknown(id))
    }

    pub(crate) async fn create(
        &self,
        caller: &Caller,
        ask: &Ask,
        spec: ClusterSpec,
    ) -> Result<Changed<Cluster>, Status> {
        self.gate
            .carry_out(caller, ask, &spec.id, &spec, |found: Option<&Cluster>| {
                valid(spec.validate())?;
                if found.is_some() {
                    return Err(Status::new(
                        Code::AlreadyExists,
                        format!("there is a cluster `{}`", spec.id),
                    )
                    .with_hint("change it by PATCH, or give the new one another id"));
                }
                let (count, first) = {
                    let tables = self.view.read();
                    (tables.clusters().count(), tables.clusters().after(None).next().cloned())
                };
                if count >= MAX_CLUSTERS {
                    return Err(Status::resource_exhausted(format!(
                        "a mesh has at most {MAX_CLUSTERS} clusters"
                    ))
                    .with_hint("take another mesh for more"));
                }
                let state = if first.is_none() { ClusterState::Active } else { ClusterState::Passive };
                Ok(Decision::from(fresh(caller, ask, spec.clone(), state)))
            })
            .await
    }

    /// Changes what is said of a cluster by a merge patch over its spec.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        ask: &Ask,
        id: &str,
        patch: &Value,
    ) -> Result<Changed<Cluster>, Status> {
        self.gate
            .carry_out(caller, ask, id, patch, |found: Option<&Cluster>| {
                let found = found.ok_or_else(|| unknown(id))?;
                let spec: ClusterSpec = valid(merge_patch("spec", &found.spec, patch))?;
                if spec.id != found.spec.id {
                    return Err(Status::invalid_argument("`spec.id` cannot be changed")
                        .with_hint("create a cluster with the new id"));
                }
                valid(spec.validate())?;
                if spec == found.spec {
                    return Ok(Decision::from(found.clone()));
                }
                Ok(Decision::from(changed(caller, ask, Cluster { spec, ..found.clone() })))
            })
            .await
    }

    pub(crate) async fn request(
        &self,
        caller: &Caller,
        ask: &Ask,
        id: &str,
        request: ClusterRequest,
    ) -> Result<Changed<Cluster>, Status> {
        let what = match request {
            ClusterRequest::Promote { pass_over } => Step::Promote { pass_over },
            ClusterRequest::Demote { to } => Step::Demote { to },
        };
        self.gate
            .carry_out(caller, ask, id, &what, |found: Option<&Cluster>| {
                let found = found.ok_or_else(|| unknown(id))?;
                let all: Vec<Cluster> = self.view.read().clusters().after(None).cloned().collect();
                let (state, rests_on) =
                    decide_cluster(found, &all, request).map_err(|error| unmet(&error))?;
                // Two demotions at once must not each count on the other cluster.
                let guard = |other: &&Cluster| {
                    Write::guard(Kind::Cluster, other.key(), Holds::Version(other.record_version))
                };
                let record = changed(caller, ask, Cluster { state, state_since: now(), ..found.clone() });
                Ok(Decision { beside: rests_on.iter().map(guard).collect(), ..record.into() })
            })
            .await
    }
}

fn fresh(caller: &Caller, ask: &Ask, spec: ClusterSpec, state: ClusterState) -> Cluster {
    let at = now();
    let cluster = Cluster {
        spec,
        state,
        state_since: at,
        changed_at: at,
        changed_by: String::new(),
        ticket: String::new(),
        record_version: 0,
    };
    changed(caller, ask, cluster)
}

fn changed(caller: &Caller, ask: &Ask, cluster: Cluster) -> Cluster {
    Cluster { changed_at: now(), changed_by: caller.id().to_owned(), ticket: ask.ticket.clone(), ..cluster }
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!("there is no cluster `{id}`"))
        .with_hint("`omnirelay mesh clusters list` shows which there are")
}
