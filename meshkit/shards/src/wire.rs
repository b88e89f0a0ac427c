//! Shards and namespaces as the contracts write them, and as REST shows them.

use meshkit_api::timestamp;
use meshkit_model::{
    Handover, Invalid, Namespace, PeerId, Phase, Shard, ShardStatus, Strategy, Successor, Timestamp,
};
use omnirelay_proto::meshkit::v1 as wire;
use serde::Serialize;

/// A shard as REST shows it: with everything that a caller may need, said.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Shard")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    namespace: String,
    id: u32,
    strategy: Strategy,
    owner: Option<PeerId>,
    leader: Option<PeerId>,
    status: ShardStatus,
    phase: Phase,
    successor: Option<Successor>,
    standbys: Vec<PeerId>,
    pinned: Option<PeerId>,
    capacity_hint: u32,
    ticket: String,
    fence: u64,
    checksum: String,
    record_version: u64,
    changed_at: Timestamp,
}

pub(crate) fn shown(shard: Shard) -> Shown {
    Shown {
        leader: shard.leader().cloned(),
        checksum: format!("{:016x}", shard.checksum()),
        namespace: shard.namespace,
        id: shard.id,
        strategy: shard.strategy,
        owner: shard.owner,
        status: shard.status,
        phase: shard.phase,
        successor: shard.successor,
        standbys: shard.standbys,
        pinned: shard.pinned,
        capacity_hint: shard.capacity_hint,
        ticket: shard.ticket,
        fence: shard.fence,
        record_version: shard.record_version,
        changed_at: shard.changed_at,
    }
}

pub(crate) fn shard_to_wire(shard: &Shard) -> wire::Shard {
    let status = match shard.status {
        ShardStatus::Active => wire::ShardStatus::Active,
        ShardStatus::Draining => wire::ShardStatus::Draining,
        ShardStatus::Paused => wire::ShardStatus::Paused,
        ShardStatus::Disabled => wire::ShardStatus::Disabled,
    };
    let phase = match shard.phase {
        Phase::Assigned => wire::OwnershipPhase::Assigned,
        Phase::Warming => wire::OwnershipPhase::Warming,
        Phase::Active => wire::OwnershipPhase::Active,
        Phase::Draining => wire::OwnershipPhase::Draining,
    };
    let text = |peer: Option<&PeerId>| peer.map(ToString::to_string).unwrap_or_default();
    wire::Shard {
        shard_namespace: shard.namespace.clone(),
        id: shard.id,
        strategy: shard.strategy.as_str().to_owned(),
        owner: text(shard.owner.as_ref()),
        status: status.into(),
        fence: shard.fence,
        record_version: shard.record_version,
        changed_at: Some(timestamp(shard.changed_at)),
        phase: phase.into(),
        successor: text(shard.successor.as_ref().map(|next| &next.peer)),
        successor_ready: shard.successor.as_ref().is_some_and(|next| next.ready),
        standbys: shard.standbys.iter().map(ToString::to_string).collect(),
        pinned: text(shard.pinned.as_ref()),
        capacity_hint: shard.capacity_hint,
        ticket: shard.ticket.clone(),
        leader: text(shard.leader()),
        checksum: shard.checksum(),
    }
}

pub(crate) fn namespace_to_wire(namespace: Namespace) -> wire::Namespace {
    wire::Namespace {
        name: namespace.name,
        shards: namespace.shards,
        service: namespace.service,
        strategy: namespace.strategy.as_str().to_owned(),
        replicas: namespace.replicas,
        spread_zones: Some(namespace.spread_zones),
        zones: namespace.zones,
        handover: namespace.handover.as_str().to_owned(),
        record_version: namespace.record_version,
    }
}

pub(crate) fn namespace_of(namespace: wire::Namespace) -> Result<Namespace, Invalid> {
    let strategy = strategy_of(&namespace.strategy)?;
    let handover = handover_of(&namespace.handover)?;
    Ok(Namespace {
        strategy,
        replicas: namespace.replicas.max(1),
        spread_zones: namespace.spread_zones.unwrap_or(true),
        zones: namespace.zones,
        handover,
        ..Namespace::new(namespace.name, namespace.shards, namespace.service)
    })
}

pub(crate) fn strategy_of(name: &str) -> Result<Strategy, Invalid> {
    if name.is_empty() { Ok(Strategy::default()) } else { name.parse() }
}

pub(crate) fn handover_of(name: &str) -> Result<Handover, Invalid> {
    if name.is_empty() { Ok(Handover::default()) } else { name.parse() }
}
