//! Who gossips, and how each stands.

use std::path::Path;

use clap::ValueEnum as _;
use jiff::Timestamp;
use meshkit_client::Answer;
use meshkit_client::v1::{Member, MemberHealth, MemberStatus};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::following::Shown;
use super::reading::{self, ago, at};
use crate::args::MembersList;
use crate::output;
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Shows the members.
pub(crate) fn list(context: Option<&Path>, args: &MembersList) -> Result<()> {
    if args.watch {
        let shown = Shown { name: "member", record, table: |members| table(members, Timestamp::now()) };
        return reading::call(context, async |client| {
            let mut watch = client.watch_members();
            shown.follow(args.listing.output, async || watch.next().await).await
        })?;
    }
    let status = args.status.and_then(|status| status.to_possible_value());
    let status = status.map(|status| format!("status={}", status.get_name()));
    let conditions: Vec<&str> =
        status.as_deref().into_iter().chain([args.filter.as_str()]).filter(|text| !text.is_empty()).collect();
    let filter = conditions.join(",");
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_members(&filter, size, token).await?;
        Ok(Answer { value: (value.members, value.next_page_token, value.changes), negotiated })
    })?;
    match args.listing.output.notation() {
        Some(notation) => output::print_document(
            notation,
            &json!({
                "members": listed.records.iter().map(record).collect::<Vec<_>>(),
                "changes": listed.revision,
                "protocol": listed.negotiated.protocol,
                "downgrade": listed.negotiated.downgrade,
            }),
        ),
        None => {
            let look = args.listing.output.look();
            output::print(&table(&listed.records, Timestamp::now()).render(0, look))?;
            let more = if listed.cut { ", more with a higher --limit" } else { "" };
            let (count, protocol) = (listed.records.len(), listed.negotiated.protocol);
            output::note(&format!("{count} members over {protocol}{more}"));
            Ok(())
        }
    }
}

fn table(members: &[Member], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "ID",
        "STATUS",
        "SINCE",
        "HEALTH",
        "ROLE",
        "CLUSTER",
        "ZONE",
        "VERSION",
        "ADDRESS",
        ">MAP",
        "+>GENERATION",
        "+>INCARNATION",
    ]);
    for member in members {
        let id = if member.is_self { format!("{}*", member.id) } else { member.id.clone() };
        table.row([
            id,
            status(member).to_owned(),
            ago(at(member.since.as_ref()), now),
            health(member).to_owned(),
            member.role.clone(),
            member.cluster.clone(),
            member.zone.clone(),
            member.version.clone(),
            member.address.clone(),
            member.map_version.to_string(),
            member.generation.to_string(),
            member.incarnation.to_string(),
        ]);
    }
    table
}

/// A member with the names of the REST twin.
fn record(member: &Member) -> Value {
    json!({
        "id": member.id,
        "status": status(member),
        "since": at(member.since.as_ref()),
        "address": member.address,
        "role": member.role,
        "cluster": member.cluster,
        "zone": member.zone,
        "version": member.version,
        "health": health(member),
        "mapVersion": member.map_version,
        "generation": member.generation,
        "incarnation": member.incarnation,
        "isSelf": member.is_self,
    })
}

fn status(member: &Member) -> &'static str {
    match member.status() {
        MemberStatus::Unspecified => "unknown",
        MemberStatus::Alive => "alive",
        MemberStatus::Suspect => "suspect",
        MemberStatus::Left => "left",
        MemberStatus::Dead => "dead",
    }
}

fn health(member: &Member) -> &'static str {
    match member.health() {
        MemberHealth::Unspecified => "unknown",
        MemberHealth::Ready => "ready",
        MemberHealth::NotReady => "not-ready",
        MemberHealth::Leaving => "leaving",
    }
}
