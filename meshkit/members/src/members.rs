//! What the module does, whatever protocol asked for it.

use std::sync::Arc;

use meshkit_api::{Gate, Listing, Paged, invalid};
use meshkit_membership::{Membership, Seen};
use meshkit_model::{Field, Listed, PeerId, Timestamp};
use relay_core::{Code, Status};
use serde::Serialize;

pub(crate) struct Members {
    pub(crate) gate: Gate,
    pub(crate) membership: Option<Membership>,
}

/// A member as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Member")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) since: Timestamp,
    pub(crate) address: String,
    pub(crate) role: String,
    pub(crate) cluster: String,
    pub(crate) zone: String,
    pub(crate) version: String,
    pub(crate) health: &'static str,
    pub(crate) map_version: u64,
    pub(crate) generation: u64,
    pub(crate) incarnation: u16,
    pub(crate) is_self: bool,
}

impl Listed for Shown {
    const NAMES: &'static [&'static str] = &[
        "id",
        "status",
        "since",
        "address",
        "role",
        "cluster",
        "zone",
        "version",
        "health",
        "mapVersion",
        "generation",
        "incarnation",
    ];

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "id" => Field::Text(&self.id),
            "status" => Field::Text(self.status),
            "since" => Field::Time(self.since),
            "address" => Field::Text(&self.address),
            "role" => Field::Text(&self.role),
            "cluster" => Field::Text(&self.cluster),
            "zone" => Field::Text(&self.zone),
            "version" => Field::Text(&self.version),
            "health" => Field::Text(self.health),
            "mapVersion" => Field::Number(self.map_version),
            "generation" => Field::Number(self.generation),
            "incarnation" => Field::Number(self.incarnation.into()),
            _ => return None,
        })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

impl Members {
    pub(crate) fn list(&self, listing: &Listing) -> Result<(Paged<Shown>, u64), Status> {
        let membership = self.membership()?;
        let changes = *membership.changes().borrow();
        let all = all(membership);
        let page = listing.page::<Shown, _>("members", all.iter())?;
        let records = page.records.into_iter().cloned().collect();
        Ok((Paged { records, next_cursor: page.next_cursor }, changes))
    }

    pub(crate) fn get(&self, id: &str) -> Result<Shown, Status> {
        let membership = self.membership()?;
        let id = PeerId::new(id).map_err(|error| invalid(&error))?;
        let members = membership.members();
        let found = members.iter().find(|seen| seen.member.id == id).ok_or_else(|| {
            Status::not_found(format!("nobody heard of a member called `{id}`"))
                .with_hint("`omnirelay mesh members` lists them")
        })?;
        Ok(show(found, membership.me()))
    }

    pub(crate) fn membership(&self) -> Result<&Membership, Status> {
        self.membership.as_ref().ok_or_else(|| {
            Status::new(Code::FailedPrecondition, "this meshkitd does not gossip")
                .with_hint("add `[membership]` to its configuration")
        })
    }
}

pub(crate) fn all(membership: &Membership) -> Arc<[Shown]> {
    membership.members().iter().map(|seen| show(seen, membership.me())).collect()
}

fn show(seen: &Seen, me: &PeerId) -> Shown {
    let member = &seen.member;
    Shown {
        id: member.id.to_string(),
        status: seen.standing.as_str(),
        since: seen.since,
        address: member.address.to_string(),
        role: member.role.clone(),
        cluster: member.cluster.clone(),
        zone: member.zone.clone(),
        version: member.version.clone(),
        health: member.health.as_str(),
        map_version: member.map_version,
        generation: member.generation,
        incarnation: seen.incarnation,
        is_self: member.id == *me,
    }
}
