//! Members as the contracts write them.

use meshkit_api::timestamp;
use omnirelay_proto::meshkit::v1 as wire;

use crate::feed::What;
use crate::members::Shown;

pub(crate) fn member_to_wire(shown: Shown) -> wire::Member {
    let status = match shown.status {
        "alive" => wire::MemberStatus::Alive,
        "suspect" => wire::MemberStatus::Suspect,
        "left" => wire::MemberStatus::Left,
        _ => wire::MemberStatus::Dead,
    };
    let health = match shown.health {
        "ready" => wire::MemberHealth::Ready,
        "leaving" => wire::MemberHealth::Leaving,
        _ => wire::MemberHealth::NotReady,
    };
    wire::Member {
        id: shown.id,
        status: status.into(),
        since: Some(timestamp(shown.since)),
        address: shown.address,
        role: shown.role,
        cluster: shown.cluster,
        zone: shown.zone,
        version: shown.version,
        health: health.into(),
        map_version: shown.map_version,
        generation: shown.generation,
        incarnation: shown.incarnation.into(),
        is_self: shown.is_self,
    }
}

pub(crate) fn event_to_wire(what: What, shown: &Shown) -> wire::WatchMembersResponse {
    let kind = match what {
        What::Snapshot => wire::MemberEventType::Snapshot,
        What::Changed => wire::MemberEventType::Changed,
        What::Forgotten => wire::MemberEventType::Forgotten,
    };
    wire::WatchMembersResponse { r#type: kind.into(), member: Some(member_to_wire(shown.clone())) }
}
