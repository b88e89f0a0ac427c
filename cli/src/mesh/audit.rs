//! The audit, and which software versions the mesh runs.

use std::path::Path;

use jiff::Timestamp;
use meshkit_client::v1::{AuditEntry, AuditOutcome, ListAuditRequest};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::reading::{self, at};
use crate::args::{AuditExport, AuditList, Shown};
use crate::output;
use crate::table::Table;

/// Searches entries.
pub(crate) fn list(context: Option<&Path>, args: &AuditList) -> Result<()> {
    let time =
        |at: Timestamp| prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
    let request = ListAuditRequest {
        actor: args.actor.clone(),
        action: args.action.clone(),
        ticket: args.ticket.clone(),
        record: args.record.clone(),
        outcome: if args.refused { AuditOutcome::Refused.into() } else { 0 },
        from: args.from.map(time),
        until: args.until.map(time),
        page_size: args.limit,
        ..ListAuditRequest::default()
    };
    let entries = reading::call(context, async |client| client.list_audit(request).await)?.value.entries;
    if let Some(notation) = args.shown.output.notation() {
        return output::print_document(
            notation,
            &json!({ "entries": entries.iter().map(record).collect::<Vec<_>>() }),
        );
    }
    let mut table = Table::new(&[
        ">NUMBER",
        "AT",
        "ACTOR",
        "ACTION",
        "RECORD",
        "OUTCOME",
        "TICKET",
        "REASON",
        "+>REVISION",
        "+BEFORE",
        "+AFTER",
        "+HASH",
    ]);
    for entry in entries {
        table.row([
            entry.number.to_string(),
            at(entry.at.as_ref()).map(|at| at.to_string()).unwrap_or_default(),
            entry.actor,
            entry.action,
            entry.record,
            if entry.refused.is_empty() { "done".to_owned() } else { format!("refused: {}", entry.refused) },
            entry.ticket,
            entry.reason,
            entry.revision.to_string(),
            entry.before,
            entry.after,
            entry.hash,
        ]);
    }
    output::print(&table.render(0, args.shown.output.look()))
}

/// Writes all entries as JSON lines.
pub(crate) fn export(context: Option<&Path>, args: &AuditExport) -> Result<()> {
    let mut written = Ok(true);
    reading::call(context, async |client| {
        client
            .export_audit(args.after, |entry| {
                written = output::print_line(&record(&entry).to_string());
                matches!(written, Ok(true))
            })
            .await
    })?;
    written.map(drop)
}

/// Checks the chain of hashes.
pub(crate) fn verify(context: Option<&Path>, args: &Shown) -> Result<()> {
    let verdict = reading::call(context, async |client| client.verify_audit().await)?.value;
    if !verdict.intact {
        return Err(OperatorError::new(ErrorKind::Conflict, "the audit is not as it was written")
            .because(verdict.problem)
            .hint("keep the store's file as it is, and compare it with a backup"));
    }
    match args.output.notation() {
        Some(notation) => output::print_document(
            notation,
            &json!({
                "intact": verdict.intact,
                "entries": verdict.entries,
                "headNumber": verdict.head_number,
                "headHash": verdict.head_hash,
            }),
        ),
        None => output::print(&format!(
            "intact: {} entries up to {}, {}\n",
            verdict.entries, verdict.head_number, verdict.head_hash
        )),
    }
}

/// Counts peers by software version.
pub(crate) fn versions(context: Option<&Path>, args: &Shown) -> Result<()> {
    let listed = reading::call(context, async |client| client.list_versions().await)?.value;
    if let Some(notation) = args.output.notation() {
        let version = |count: &meshkit_client::v1::VersionCount| json!({ "version": count.version, "role": count.role, "peers": count.peers, "alive": count.alive });
        return output::print_document(
            notation,
            &json!({
                "versions": listed.versions.iter().map(version).collect::<Vec<_>>(),
                "serverVersion": listed.server_version,
                "revision": listed.revision,
            }),
        );
    }
    let mut table = Table::new(&["VERSION", "ROLE", ">PEERS", ">ALIVE"]);
    for count in listed.versions {
        table.row([count.version, count.role, count.peers.to_string(), count.alive.to_string()]);
    }
    output::print(&table.render(0, args.output.look()))?;
    output::note(&format!("meshkitd is {} at revision {}", listed.server_version, listed.revision));
    Ok(())
}

/// An entry with the names of the REST twin.
fn record(entry: &AuditEntry) -> Value {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    json!({
        "number": entry.number,
        "revision": entry.revision,
        "at": at(entry.at.as_ref()),
        "actor": entry.actor,
        "action": entry.action,
        "ticket": entry.ticket,
        "reason": entry.reason,
        "record": entry.record,
        "refused": some(&entry.refused),
        "before": some(&entry.before),
        "after": some(&entry.after),
        "previous": entry.previous_hash,
        "hash": entry.hash,
    })
}
