//! Which instance owns an item, by the mesh's shard table, and the way to it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use meshkit_client::MeshClient;
use relay_client::{Channel, ChannelConfig};
use relay_rpc::{Call, Client, Status};
use relay_transport::tls::ClientTlsConfig;

use crate::contracts::InventoryClient;

#[cfg(test)]
mod tests;

/// The namespace of the mesh whose shards hold the items.
const NAMESPACE: &str = "inventory";
/// The instances of a mesh are few; a table above this is one of instances long gone.
const MAX_CHANNELS: usize = 64;

/// Tells whose an item is.
pub(crate) struct Ownership {
    own_name: String,
    mesh: Option<MeshClient>,
    tls: ClientTlsConfig,
    /// By URL.
    channels: Mutex<HashMap<String, Channel>>,
}

/// Where an item lives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    /// On the peer of that id.
    There(String),
}

impl Ownership {
    /// Ownership as the mesh tells it; without a mesh everything lives here.
    pub(crate) fn new(own_name: &str, mesh: Option<MeshClient>, tls: ClientTlsConfig) -> Self {
        Self { own_name: own_name.to_owned(), mesh, tls, channels: Mutex::default() }
    }

    /// The id of this instance.
    pub(crate) fn own_name(&self) -> &str {
        &self.own_name
    }

    /// Where an item lives now.
    ///
    /// # Errors
    /// `unavailable`, to be tried again, while nobody owns it, while owners change or while the
    /// control plane is away.
    pub(crate) async fn place(&self, item: &str, call: &Call) -> Result<Place, Status> {
        let Some(mesh) = &self.mesh else {
            return Ok(Place::Here);
        };
        let shard = mesh.lookup_shard(NAMESPACE, item.as_bytes()).await.map_err(|error| {
            Status::unavailable(format!("who owns `{item}` is not known: {error}"))
                .with_hint("try again; the control plane has to be reachable")
        })?;
        decide(&shard.value.owner, &self.own_name, is_forwarded(call))
    }

    /// Calls the owner of an item, as this instance and for as long as the caller still waits.
    ///
    /// # Errors
    /// `unavailable` where the owner or the control plane is away.
    pub(crate) async fn owner(&self, owner: &str, call: &Call) -> Result<InventoryClient<Channel>, Status> {
        let mut client = Client::new(self.channel_to(owner).await?).caller(&self.own_name);
        if let Some(timeout) = call.timeout() {
            client = client.timeout(timeout);
        }
        Ok(InventoryClient::new(client))
    }

    async fn channel_to(&self, owner: &str) -> Result<Channel, Status> {
        let away = |why: String| {
            Status::unavailable(format!("the owner `{owner}` cannot be called: {why}")).with_hint("try again")
        };
        let mesh = self.mesh.as_ref().ok_or_else(|| away("there is no control plane".to_owned()))?;
        let peer = mesh.get_peer(owner).await.map_err(|error| away(error.to_string()))?.value;
        let url = peer.endpoints.into_iter().next().ok_or_else(|| away("it has no endpoint".to_owned()))?.url;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&url) {
            return Ok(channel.clone());
        }
        let config = ChannelConfig::new(url.clone(), self.tls.clone());
        let channel = Channel::new(&config).map_err(|error| away(error.to_string()))?;
        if channels.len() >= MAX_CHANNELS {
            channels.clear();
        }
        channels.insert(url, channel.clone());
        Ok(channel)
    }
}

/// Whether another instance handed the call over: its certificate says so, not its word.
fn is_forwarded(call: &Call) -> bool {
    let own_kind = call.identity().map(|identity| identity.spiffe().contains("/service/inventory"));
    own_kind.unwrap_or(false)
}

/// A call that was handed over once is not handed over again: two instances that disagree would
/// play it back and forth.
fn decide(owner: &str, own_name: &str, is_forwarded: bool) -> Result<Place, Status> {
    match owner {
        "" => {
            Err(Status::unavailable("nobody owns the item's shard")
                .with_hint("try again when an instance is up"))
        }
        owner if owner == own_name => Ok(Place::Here),
        owner if is_forwarded => Err(Status::unavailable(format!("the item's shard moved on to `{owner}`"))
            .with_name("stale-owner")
            .with_hint("try again")),
        owner => Ok(Place::There(owner.to_owned())),
    }
}
