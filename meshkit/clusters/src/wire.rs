//! Clusters as the contracts write them.

use meshkit_api::timestamp;
use meshkit_model::{
    Cluster, ClusterSpec, ClusterState, Endpoint, FailoverMode, FailoverPolicy, Invalid, PeerProtocol,
};
use omnirelay_proto::meshkit::v1 as wire;
use serde_json::Value;

pub(crate) fn cluster_to_wire(cluster: Cluster) -> wire::Cluster {
    let state = match cluster.state {
        ClusterState::Active => wire::ClusterState::Active,
        ClusterState::Draining => wire::ClusterState::Draining,
        ClusterState::Passive => wire::ClusterState::Passive,
        ClusterState::Maintenance => wire::ClusterState::Maintenance,
    };
    wire::Cluster {
        spec: Some(spec_to_wire(cluster.spec)),
        state: state.into(),
        state_since: Some(timestamp(cluster.state_since)),
        changed_at: Some(timestamp(cluster.changed_at)),
        changed_by: cluster.changed_by,
        ticket: cluster.ticket,
        record_version: cluster.record_version,
    }
}

fn spec_to_wire(spec: ClusterSpec) -> wire::ClusterSpec {
    let mode = match spec.failover.mode {
        FailoverMode::Manual => wire::FailoverMode::Manual,
        FailoverMode::Automatic => wire::FailoverMode::Automatic,
    };
    let endpoint = |endpoint: Endpoint| wire::Endpoint {
        url: endpoint.url,
        protocols: endpoint.protocols.into_iter().map(PeerProtocol::as_str).map(ToOwned::to_owned).collect(),
    };
    wire::ClusterSpec {
        id: spec.id,
        region: spec.region,
        priority: spec.priority,
        failover: Some(wire::FailoverPolicy {
            mode: mode.into(),
            targets: spec.failover.targets,
            max_lag_ms: spec.failover.max_lag_ms,
        }),
        replication: spec.replication.into_iter().map(endpoint).collect(),
        owners: spec.owners,
        annotations: spec.annotations,
    }
}

pub(crate) fn spec_of(spec: wire::ClusterSpec) -> Result<ClusterSpec, Invalid> {
    let failover = spec.failover.unwrap_or_default();
    let mode = match wire::FailoverMode::try_from(failover.mode) {
        Ok(wire::FailoverMode::Unspecified | wire::FailoverMode::Manual) => FailoverMode::Manual,
        Ok(wire::FailoverMode::Automatic) => FailoverMode::Automatic,
        Err(_) => {
            let problem = format!("is {}; it is one of FailoverMode", failover.mode);
            return Err(Invalid::new("failover.mode", problem));
        }
    };
    Ok(ClusterSpec {
        id: spec.id,
        region: spec.region,
        priority: spec.priority,
        failover: FailoverPolicy { mode, targets: failover.targets, max_lag_ms: failover.max_lag_ms },
        replication: spec.replication.into_iter().map(endpoint_of).collect::<Result<_, _>>()?,
        owners: spec.owners,
        annotations: spec.annotations,
    })
}

fn endpoint_of(endpoint: wire::Endpoint) -> Result<Endpoint, Invalid> {
    let protocols = endpoint.protocols.iter().map(|name| name.parse());
    Ok(Endpoint { url: endpoint.url, protocols: protocols.collect::<Result<_, _>>()? })
}

/// The merge patch that replaces the masked fields of a spec. A map is replaced as a whole: what
/// `found` has and `spec` has not is removed.
pub(crate) fn patch_of(found: &ClusterSpec, spec: &ClusterSpec, mask: &[String]) -> Result<Value, Invalid> {
    let mut patch = serde_json::Map::new();
    for path in mask {
        let value = match path.as_str() {
            "region" => spec.region.clone().into(),
            "priority" => spec.priority.into(),
            "failover" => serde_json::json!({
                "mode": spec.failover.mode.as_str(),
                "targets": spec.failover.targets,
                "maxLagMs": spec.failover.max_lag_ms,
            }),
            "replication" => serde_json::to_value(&spec.replication).unwrap_or_default(),
            "owners" => spec.owners.clone().into(),
            "annotations" => {
                let gone = found.annotations.keys().map(|key| (key.clone(), Value::Null));
                let set = spec.annotations.iter().map(|(key, value)| (key.clone(), value.clone().into()));
                Value::Object(gone.chain(set).collect())
            }
            other => {
                let known = "region, priority, failover, replication, owners, annotations";
                return Err(Invalid::new("update_mask", format!("names {other:?}; there are {known}")));
            }
        };
        patch.insert(path.clone(), value);
    }
    if patch.is_empty() {
        return Err(Invalid::new("update_mask", "names no field"));
    }
    Ok(Value::Object(patch))
}

pub(crate) fn state_of(number: i32) -> Result<Option<ClusterState>, Invalid> {
    match wire::ClusterState::try_from(number) {
        Ok(wire::ClusterState::Unspecified) => Ok(None),
        Ok(wire::ClusterState::Active) => Ok(Some(ClusterState::Active)),
        Ok(wire::ClusterState::Draining) => Ok(Some(ClusterState::Draining)),
        Ok(wire::ClusterState::Passive) => Ok(Some(ClusterState::Passive)),
        Ok(wire::ClusterState::Maintenance) => Ok(Some(ClusterState::Maintenance)),
        Err(_) => Err(Invalid::new("to", format!("is {number}; it is one of ClusterState"))),
    }
}

/// Leaves the wanted fields of a cluster alone; `wants` is asked by the names of the REST twin.
pub(crate) fn sparse(cluster: wire::Cluster, wants: impl Fn(&str) -> bool) -> wire::Cluster {
    wire::Cluster {
        spec: cluster.spec.filter(|_| wants("spec")),
        state: if wants("state") { cluster.state } else { 0 },
        state_since: cluster.state_since.filter(|_| wants("stateSince")),
        changed_at: cluster.changed_at.filter(|_| wants("changedAt")),
        changed_by: Some(cluster.changed_by).filter(|_| wants("changedBy")).unwrap_or_default(),
        ticket: Some(cluster.ticket).filter(|_| wants("ticket")).unwrap_or_default(),
        record_version: if wants("recordVersion") { cluster.record_version } else { 0 },
    }
}
