//! The mesh's configuration: one document with its versions.

use std::path::Path;

use meshkit_client::v1::Config;
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use super::changing;
use super::reading::{self, at};
use crate::args::{ConfigHistory, ConfigPatch, ConfigRollback, ConfigShow};
use crate::output::{self, Look};
use crate::table::Table;

/// Shows a version.
pub(crate) fn show(context: Option<&Path>, args: &ConfigShow) -> Result<()> {
    let config = reading::call(context, async |client| client.get_config(args.number).await)?.value;
    match args.shown.output.notation() {
        Some(notation) => output::print_document(notation, &record(&config)),
        None => output::print(&one(&config, args.shown.output.look())),
    }
}

/// Changes it by a merge patch.
pub(crate) fn patch(context: Option<&Path>, args: &ConfigPatch) -> Result<()> {
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.patch_config(&args.patch, change).await
    })?;
    changing::print(&args.changing, &changed, "config", record, one)
}

/// Lists versions, newest first.
pub(crate) fn history(context: Option<&Path>, args: &ConfigHistory) -> Result<()> {
    let versions = reading::call(context, async |client| client.config_history(args.limit).await)?.value;
    match args.shown.output.notation() {
        Some(notation) => output::print_document(
            notation,
            &json!({ "versions": versions.iter().map(record).collect::<Vec<_>>() }),
        ),
        None => output::print(&table(&versions).render(0, args.shown.output.look())),
    }
}

/// Goes back to a version.
pub(crate) fn roll_back(context: Option<&Path>, args: &ConfigRollback) -> Result<()> {
    let describe = |config: &Config| {
        format!(
            "The configuration says in version {} what it said in version {}.",
            config.number, args.number
        )
    };
    let changed = changing::confirm(context, &args.changing, describe, &async |client, change| {
        client.rollback_config(args.number, change).await
    })?;
    changing::print(&args.changing, &changed, "config", record, one)
}

fn one(config: &Config, look: Look) -> String {
    let mut text = table(std::slice::from_ref(config)).render(0, look);
    let document = serde_json::to_string_pretty(&content(config)).unwrap_or_default();
    text.push_str(&document);
    text.push('\n');
    text
}

fn table(versions: &[Config]) -> Table {
    let mut table =
        Table::new(&[">NUMBER", "CHANGED AT", "CHANGED BY", "TICKET", "REASON", "FROM", "+CONTENT"]);
    for config in versions {
        let from = match config.rolled_back_to {
            0 => String::new(),
            number => format!("version {number}"),
        };
        table.row([
            config.number.to_string(),
            at(config.changed_at.as_ref())
                .filter(|_| config.number > 0)
                .map(|at| at.to_string())
                .unwrap_or_default(),
            config.changed_by.clone(),
            config.ticket.clone(),
            config.reason.clone(),
            from,
            content(config).to_string(),
        ]);
    }
    table
}

/// A version with the names of the REST twin.
fn record(config: &Config) -> Value {
    json!({
        "number": config.number,
        "content": content(config),
        "changedAt": at(config.changed_at.as_ref()),
        "changedBy": config.changed_by,
        "reason": config.reason,
        "ticket": config.ticket,
        "rolledBackTo": Some(config.rolled_back_to).filter(|number| *number > 0),
    })
}

fn content(config: &Config) -> Value {
    serde_json::from_str(&config.json).unwrap_or_default()
}
