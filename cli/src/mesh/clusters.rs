//! The clusters of the mesh.

use std::path::Path;

use meshkit_client::v1::{Cluster, ClusterSpec, ClusterState, Endpoint, FailoverMode, FailoverPolicy};
use meshkit_client::{Answer, ClusterFilter};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::changing;
use super::following::Shown;
use super::reading::{self, at, pairs};
use crate::args::{
    ClustersList, DemoteCluster, DemotedState, Failover, OneCluster, PromoteCluster, SaidCluster,
};
use crate::output::{self, Look};
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Lists clusters.
pub(crate) fn list(context: Option<&Path>, args: &ClustersList) -> Result<()> {
    if args.watch {
        let shown = Shown { name: "cluster", record, table };
        return reading::call(context, async |client| {
            let mut watch = client.watch_clusters();
            shown.follow(args.listing.output, async || watch.next().await).await
        })?;
    }
    let filter = ClusterFilter { filter: args.filter.clone(), sort: args.sort.clone() };
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_clusters(&filter, size, token).await?;
        Ok(Answer { value: (value.clusters, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.listing.output, "clusters", record, table)
}

/// Shows one cluster.
pub(crate) fn get(context: Option<&Path>, args: &OneCluster) -> Result<()> {
    let cluster = reading::call(context, async |client| client.get_cluster(&args.id).await)?.value;
    match args.shown.output.notation() {
        Some(notation) => output::print_document(notation, &record(&cluster)),
        None => output::print(&one(&cluster, args.shown.output.look())),
    }
}

/// Adds a cluster.
pub(crate) fn create(context: Option<&Path>, args: &SaidCluster) -> Result<()> {
    let (spec, _) = said(args)?;
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.create_cluster(spec, change).await
    })?;
    changing::print(&args.changing, &changed, "cluster", record, one)
}

/// Changes what is said of a cluster.
pub(crate) fn update(context: Option<&Path>, args: &SaidCluster) -> Result<()> {
    let (spec, fields) = said(args)?;
    if fields.is_empty() {
        return Err(OperatorError::new(ErrorKind::Usage, "nothing is to be changed")
            .hint("name what is to change, such as `--priority 10`"));
    }
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.update_cluster(spec, &fields, change).await
    })?;
    changing::print(&args.changing, &changed, "cluster", record, one)
}

/// Takes a cluster one step towards serving.
pub(crate) fn promote(context: Option<&Path>, args: &PromoteCluster) -> Result<()> {
    let changed = changing::confirm(context, &args.changing, moving, &async |client, change| {
        client.promote_cluster(&args.id, args.pass_over, change).await
    })?;
    changing::print(&args.changing, &changed, "cluster", record, one)
}

/// Takes a cluster one step away from serving.
pub(crate) fn demote(context: Option<&Path>, args: &DemoteCluster) -> Result<()> {
    let to = args.to.map(|to| match to {
        DemotedState::Draining => ClusterState::Draining,
        DemotedState::Passive => ClusterState::Passive,
        DemotedState::Maintenance => ClusterState::Maintenance,
    });
    let changed = changing::confirm(context, &args.changing, moving, &async |client, change| {
        client.demote_cluster(&args.id, to, change).await
    })?;
    changing::print(&args.changing, &changed, "cluster", record, one)
}

fn moving(cluster: &Cluster) -> String {
    format!("`{}` becomes {}.", id(cluster), state(cluster))
}

/// What the options say, and which fields they name.
fn said(args: &SaidCluster) -> Result<(ClusterSpec, Vec<&'static str>)> {
    let mut fields = Vec::new();
    let mut name = |is_said: bool, field| {
        if is_said {
            fields.push(field);
        }
    };
    name(args.region.is_some(), "region");
    name(args.priority.is_some(), "priority");
    name(args.failover.is_some(), "failover");
    name(!args.replication.is_empty(), "replication");
    name(!args.owners.is_empty(), "owners");
    name(!args.annotations.is_empty(), "annotations");
    let annotation = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            OperatorError::new(ErrorKind::Usage, format!("`{text}` is no annotation")).hint("write key=value")
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    let protocols = || vec!["http3".to_owned(), "http2".to_owned()];
    let failover = args.failover.map(|failover| FailoverPolicy {
        mode: match failover {
            Failover::Manual => FailoverMode::Manual.into(),
            Failover::Automatic => FailoverMode::Automatic.into(),
        },
        targets: args.failover_targets.clone(),
        max_lag_ms: args.max_lag_ms,
    });
    let endpoint = |url: &String| Endpoint { url: url.clone(), protocols: protocols() };
    let spec = ClusterSpec {
        id: args.id.clone(),
        region: args.region.clone().unwrap_or_default(),
        priority: args.priority.unwrap_or_default(),
        failover,
        replication: args.replication.iter().map(endpoint).collect(),
        owners: args.owners.clone(),
        annotations: args.annotations.iter().map(annotation).collect::<Result<_>>()?,
    };
    Ok((spec, fields))
}

fn one(cluster: &Cluster, look: Look) -> String {
    table(std::slice::from_ref(cluster)).render(0, look)
}

fn table(clusters: &[Cluster]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "STATE",
        "REGION",
        ">PRIORITY",
        "FAILOVER",
        "OWNERS",
        "CHANGED BY",
        "TICKET",
        ">VERSION",
        "+SINCE",
        "+TARGETS",
        "+>MAX LAG MS",
        "+REPLICATION",
        "+ANNOTATIONS",
    ]);
    for cluster in clusters {
        let spec = cluster.spec.clone().unwrap_or_default();
        let failover = spec.failover.clone().unwrap_or_default();
        let replication: Vec<String> = spec.replication.into_iter().map(|endpoint| endpoint.url).collect();
        table.row([
            spec.id,
            state(cluster).to_owned(),
            spec.region,
            spec.priority.to_string(),
            mode(Some(&failover)).to_owned(),
            spec.owners.join(", "),
            cluster.changed_by.clone(),
            cluster.ticket.clone(),
            cluster.record_version.to_string(),
            reading::time(cluster.state_since.as_ref()),
            failover.targets.join(", "),
            failover.max_lag_ms.to_string(),
            replication.join(", "),
            pairs(&spec.annotations),
        ]);
    }
    table
}

/// A cluster with the names of the REST twin.
fn record(cluster: &Cluster) -> Value {
    let spec = cluster.spec.clone().unwrap_or_default();
    let failover = spec.failover.unwrap_or_default();
    let replication: Vec<Value> = spec
        .replication
        .iter()
        .map(|endpoint| json!({ "url": endpoint.url, "protocols": endpoint.protocols }))
        .collect();
    json!({
        "spec": {
            "id": spec.id,
            "region": spec.region,
            "priority": spec.priority,
            "failover": {
                "mode": mode(Some(&failover)),
                "targets": failover.targets,
                "maxLagMs": failover.max_lag_ms,
            },
            "replication": replication,
            "owners": spec.owners,
            "annotations": spec.annotations,
        },
        "state": state(cluster),
        "stateSince": at(cluster.state_since.as_ref()),
        "changedAt": at(cluster.changed_at.as_ref()),
        "changedBy": cluster.changed_by,
        "ticket": cluster.ticket,
        "recordVersion": cluster.record_version,
    })
}

fn id(cluster: &Cluster) -> &str {
    cluster.spec.as_ref().map_or("", |spec| &spec.id)
}

fn state(cluster: &Cluster) -> &'static str {
    match cluster.state() {
        ClusterState::Unspecified => "unknown",
        ClusterState::Active => "active",
        ClusterState::Draining => "draining",
        ClusterState::Passive => "passive",
        ClusterState::Maintenance => "maintenance",
    }
}

fn mode(failover: Option<&FailoverPolicy>) -> &'static str {
    match failover.map(FailoverPolicy::mode) {
        Some(FailoverMode::Automatic) => "automatic",
        _ => "manual",
    }
}
