//! What is cut into shards.

use std::path::Path;

use meshkit_client::Answer;
use meshkit_client::v1::Namespace;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::changing;
use super::reading;
use crate::args::{
    DeleteNamespace, Handover, NamespacesList, NewNamespace, OneNamespace, SaidNamespace, Strategy,
};
use crate::output::{self, Look};
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Lists namespaces.
pub(crate) fn list(context: Option<&Path>, args: &NamespacesList) -> Result<()> {
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_namespaces(size, token).await?;
        Ok(Answer { value: (value.namespaces, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.listing.output, "namespaces", record, table)
}

/// Shows one namespace.
pub(crate) fn get(context: Option<&Path>, args: &OneNamespace) -> Result<()> {
    let namespace = reading::call(context, async |client| client.get_namespace(&args.name).await)?.value;
    match args.shown.output.notation() {
        Some(notation) => output::print_document(notation, &record(&namespace)),
        None => output::print(&one(&namespace, args.shown.output.look())),
    }
}

/// Adds a namespace.
pub(crate) fn create(context: Option<&Path>, args: &NewNamespace) -> Result<()> {
    let (said, _) = said(&args.said);
    let namespace = Namespace { shards: args.shards, service: args.service.clone(), ..said };
    let changed = changing::carry_out(context, &args.said.changing, async |client, change| {
        client.create_namespace(namespace, change).await
    })?;
    changing::print(&args.said.changing, &changed, "namespace", record, one)
}

/// Changes how a namespace's shards are placed and handed over.
pub(crate) fn update(context: Option<&Path>, args: &SaidNamespace) -> Result<()> {
    let (namespace, fields) = said(args);
    if fields.is_empty() {
        return Err(OperatorError::new(ErrorKind::Usage, "nothing is to be changed")
            .hint("name what is to change, such as `--replicas 2`"));
    }
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.update_namespace(namespace, &fields, change).await
    })?;
    changing::print(&args.changing, &changed, "namespace", record, one)
}

/// Removes a namespace.
pub(crate) fn delete(context: Option<&Path>, args: &DeleteNamespace) -> Result<()> {
    let describe = |namespace: &Namespace| {
        let (name, shards, service) = (&namespace.name, namespace.shards, &namespace.service);
        format!("`{name}` goes with its {shards} shards, which `{service}` owns.")
    };
    let changed = changing::confirm(context, &args.changing, describe, &async |client, change| {
        client.delete_namespace(&args.name, change).await
    })?;
    changing::print(&args.changing, &changed, "namespace", record, one)
}

/// What the options say, and which fields they name.
fn said(args: &SaidNamespace) -> (Namespace, Vec<&'static str>) {
    let mut fields = Vec::new();
    let mut name = |is_said: bool, field| {
        if is_said {
            fields.push(field);
        }
    };
    name(args.strategy.is_some(), "strategy");
    name(args.replicas.is_some(), "replicas");
    name(args.spread_zones.is_some(), "spread_zones");
    name(!args.zones.is_empty() || args.strategy.is_some(), "zones");
    name(args.handover.is_some(), "handover");
    let strategy = args.strategy.map_or("", |strategy| match strategy {
        Strategy::Ring => "ring",
        Strategy::Rendezvous => "rendezvous",
        Strategy::WeightedRendezvous => "weighted-rendezvous",
        Strategy::Jump => "jump",
        Strategy::LocalityAware => "locality-aware",
    });
    let handover = args.handover.map_or("", |handover| match handover {
        Handover::Immediate => "immediate",
        Handover::Acknowledged => "acknowledged",
    });
    let namespace = Namespace {
        name: args.name.clone(),
        strategy: strategy.to_owned(),
        replicas: args.replicas.unwrap_or_default(),
        spread_zones: args.spread_zones,
        zones: args.zones.clone(),
        handover: handover.to_owned(),
        ..Namespace::default()
    };
    (namespace, fields)
}

fn one(namespace: &Namespace, look: Look) -> String {
    table(std::slice::from_ref(namespace)).render(0, look)
}

fn table(namespaces: &[Namespace]) -> Table {
    let mut table = Table::new(&[
        "NAME",
        ">SHARDS",
        "SERVICE",
        "STRATEGY",
        ">REPLICAS",
        "SPREAD",
        "ZONES",
        "HANDOVER",
        ">VERSION",
    ]);
    for namespace in namespaces {
        let spread = if namespace.spread_zones() { "zones" } else { "any" };
        table.row([
            namespace.name.clone(),
            namespace.shards.to_string(),
            namespace.service.clone(),
            namespace.strategy.clone(),
            namespace.replicas.to_string(),
            spread.to_owned(),
            namespace.zones.join(", "),
            namespace.handover.clone(),
            namespace.record_version.to_string(),
        ]);
    }
    table
}

/// A namespace with the names of the REST twin.
fn record(namespace: &Namespace) -> Value {
    json!({
        "name": namespace.name,
        "shards": namespace.shards,
        "service": namespace.service,
        "strategy": namespace.strategy,
        "replicas": namespace.replicas,
        "spreadZones": namespace.spread_zones(),
        "zones": namespace.zones,
        "handover": namespace.handover,
        "recordVersion": namespace.record_version,
    })
}
