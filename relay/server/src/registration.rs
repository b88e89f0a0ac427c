//! The relay as a peer of the mesh.

use meshkit_client::{Identity, MeshClient, Registration, v1};
use omnirelay_runtime::Drain;
use relay_config::{MeshConfig, RelayConfig};
use relay_transport::Listener;

/// Registers at the control plane and keeps it up until the drain. The relay serves meanwhile.
pub(crate) fn start(
    mesh: &MeshConfig,
    client: MeshClient,
    config: &RelayConfig,
    data: &Listener,
    drain: Drain,
) {
    if let Some(directory) = &mesh.identity {
        Identity::at(directory).keep(&client, &drain);
    }
    let url = mesh.advertise.clone().unwrap_or_else(|| format!("https://{}", data.local_addr()));
    let protocols = data.protocols().iter().map(ToString::to_string).collect();
    let peer = v1::Peer {
        id: config.node.name.clone(),
        role: "relay".to_owned(),
        cluster: config.node.cluster.clone(),
        zone: config.node.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoints: vec![v1::Endpoint { url, protocols }],
        labels: config.node.labels.clone(),
        ..v1::Peer::default()
    };
    let _state_is_in_the_log = Registration::new(client, peer).spawn(drain);
}
