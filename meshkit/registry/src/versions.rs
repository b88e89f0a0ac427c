//! Which software versions the mesh runs.

use std::collections::BTreeMap;

use meshkit_model::PeerStatus;
use meshkit_store::View;
use serde::Serialize;

/// How many peers of a role run a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(crate) struct VersionCount {
    pub(crate) version: String,
    pub(crate) role: String,
    pub(crate) peers: u32,
    pub(crate) alive: u32,
}

/// Counts peers by version and role, and says at which revision. Who left is not counted.
pub(crate) fn count(view: &View) -> (Vec<VersionCount>, u64) {
    let tables = view.read();
    let mut counts: BTreeMap<(&str, &str), (u32, u32)> = BTreeMap::new();
    for peer in tables.peers().iter().filter(|peer| peer.status != PeerStatus::Left) {
        let (peers, alive) = counts.entry((&peer.spec.version, &peer.spec.role)).or_default();
        *peers += 1;
        *alive += u32::from(peer.status == PeerStatus::Alive);
    }
    let count = |((version, role), (peers, alive)): ((&str, &str), _)| VersionCount {
        version: version.to_owned(),
        role: role.to_owned(),
        peers,
        alive,
    };
    (counts.into_iter().map(count).collect(), tables.revision())
}
