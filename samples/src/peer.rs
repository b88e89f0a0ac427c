//! What an instance tells the control plane about itself.

use meshkit_client::{Credentials, MeshClient, v1};
use omnirelay_runtime::Result;
use relay_client::{Channel, ChannelConfig};
use relay_transport::ListenAddress;

use crate::config::{Mesh, SampleConfig};

/// A client of the control plane; the instance's certificate says who calls.
pub(crate) fn client(mesh: &Mesh) -> Result<MeshClient> {
    let channel = Channel::new(&ChannelConfig::new(mesh.endpoint.clone(), mesh.tls.clone()))?;
    Ok(MeshClient::new(channel, Credentials::none()))
}

/// The record of an instance that serves `service` at `address`.
pub(crate) fn describe(config: &SampleConfig, service: &str, address: &ListenAddress) -> v1::Peer {
    let advertised = config.mesh.as_ref().and_then(|mesh| mesh.advertise.clone());
    let protocols = config.listener.protocols.iter().map(|protocol| protocol.name().to_owned()).collect();
    v1::Peer {
        id: config.node.name.clone(),
        role: "service".to_owned(),
        service: service.to_owned(),
        cluster: config.node.cluster.clone(),
        zone: config.node.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoints: vec![v1::Endpoint {
            url: advertised.unwrap_or_else(|| format!("https://{address}")),
            protocols,
        }],
        ..v1::Peer::default()
    }
}
