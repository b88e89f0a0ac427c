//! Leases as the contracts write them.

use meshkit_api::timestamp;
use meshkit_model::{LeaderChange, LeaderTerm, PeerId};
use omnirelay_proto::meshkit::v1::{self as wire, LeaderEventType};

use crate::feed::{Item, What};
use crate::leaders::{Shown, State};

pub(crate) fn lease_to_wire(shown: Shown) -> wire::Lease {
    let Shown { state, lease } = shown;
    let state = match state {
        State::Held => wire::LeaderState::Held,
        State::Vacant => wire::LeaderState::Vacant,
        State::Expired => wire::LeaderState::Expired,
    };
    wire::Lease {
        scope: lease.scope.into(),
        state: state.into(),
        holder: lease.holder.map(PeerId::into).unwrap_or_default(),
        session: lease.session,
        fence: lease.fence,
        lease_ms: lease.lease_ms,
        resigning: lease.resigning,
        change: change(lease.change).into(),
        previous: lease.previous.map(term),
        since: Some(timestamp(lease.since)),
        changed_at: Some(timestamp(lease.changed_at)),
        record_version: lease.record_version,
    }
}

fn term(term: LeaderTerm) -> wire::LeaderTerm {
    wire::LeaderTerm { holder: term.holder.into(), fence: term.fence, ended: change(term.ended).into() }
}

const fn change(change: LeaderChange) -> wire::LeaderChange {
    match change {
        LeaderChange::Elected => wire::LeaderChange::Elected,
        LeaderChange::Renewed => wire::LeaderChange::Renewed,
        LeaderChange::Lost => wire::LeaderChange::Lost,
        LeaderChange::Expired => wire::LeaderChange::Expired,
        LeaderChange::SteppedDown => wire::LeaderChange::SteppedDown,
    }
}

const fn event(change: LeaderChange) -> LeaderEventType {
    match change {
        LeaderChange::Elected => LeaderEventType::Elected,
        LeaderChange::Renewed => LeaderEventType::Renewed,
        LeaderChange::Lost => LeaderEventType::Lost,
        LeaderChange::Expired => LeaderEventType::Expired,
        LeaderChange::SteppedDown => LeaderEventType::SteppedDown,
    }
}

pub(crate) fn item_to_wire(item: Item) -> wire::WatchLeadersResponse {
    let about = wire::WatchLeadersResponse {
        revision: item.revision,
        resume_token: item.token,
        ..wire::WatchLeadersResponse::default()
    };
    match item.what {
        What::Snapshot(shown) => wire::WatchLeadersResponse {
            r#type: LeaderEventType::Snapshot.into(),
            scope: shown.lease.scope.to_string(),
            holder: shown.lease.holder.clone().map(PeerId::into).unwrap_or_default(),
            fence: shown.lease.fence,
            lease: Some(lease_to_wire(shown)),
            ..about
        },
        What::Change(change) => wire::WatchLeadersResponse {
            r#type: event(change.change).into(),
            scope: change.scope.into(),
            holder: change.holder,
            fence: change.fence,
            lease: change.lease.map(lease_to_wire),
            ..about
        },
        What::Bookmark => wire::WatchLeadersResponse { r#type: LeaderEventType::Bookmark.into(), ..about },
        What::ResyncRequired(why) => wire::WatchLeadersResponse {
            r#type: LeaderEventType::ResyncRequired.into(),
            reason: why.to_owned(),
            ..about
        },
    }
}
