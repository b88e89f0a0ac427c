//! Which instance owns an item, by the mesh's shard table, and the way to it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use meshkit_client::MeshClient;
use prost::Message;
use relay_client::{Channel, ChannelConfig};
use relay_core::{Code, Encoding, Status, headers};
use relay_server::dispatch::Call;
use relay_transport::tls::ClientTlsConfig;
use relay_transport::{Body, body};

#[cfg(test)]
mod tests;

/// The namespace of the mesh whose shards hold the items.
const NAMESPACE: &str = "inventory";
/// The service, and the role of its instances in their certificates.
const SERVICE: &str = "inventory";
const MAX_ANSWER: usize = 1 << 20;
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

    /// Hands a call to the owner of its item and gives the owner's answer.
    pub(crate) async fn forward<Req: Message, Res: Message + Default>(
        &self,
        owner: &str,
        path: &str,
        request: &Req,
        call: &Call,
    ) -> Result<Res, Status> {
        let channel = self.channel_to(owner).await?;
        let procedure = path.trim_start_matches('/').replace('/', "::");
        let request = self.request(&procedure, request.encode_to_vec(), call.timeout)?;
        let response = channel.send(request).await.map_err(|error| Status::from(&error))?;
        let code = response.headers().get(headers::RPC_ERROR_CODE).and_then(|code| code.to_str().ok());
        let code: Option<Code> = code.and_then(|code| code.parse().ok());
        let status = response.status();
        let bytes = body::collect_limited(response.into_body(), MAX_ANSWER).await?;
        match code {
            Some(code) => Err(Status::new(code, String::from_utf8_lossy(&bytes))),
            None if status.is_success() => Res::decode(bytes)
                .map_err(|error| Status::internal(format!("the owner's answer cannot be decoded: {error}"))),
            None => Err(Status::new(
                Code::from_http_status(status.as_u16()),
                format!("the owner answered {status}"),
            )),
        }
    }

    fn request(&self, procedure: &str, message: Vec<u8>, timeout: Duration) -> Result<Request<Body>, Status> {
        let mut request = Request::new(body::full(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(headers::DEFAULT_RPC_PATH);
        let text = |value: &str| {
            HeaderValue::from_str(value)
                .map_err(|_| Status::internal(format!("`{value}` cannot stand in a header")))
        };
        let map = request.headers_mut();
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        map.insert(headers::RPC_ENCODING, HeaderValue::from_static(Encoding::Protobuf.yarpc()));
        map.insert(headers::RPC_SERVICE, HeaderValue::from_static(SERVICE));
        map.insert(headers::RPC_PROCEDURE, text(procedure)?);
        map.insert(headers::RPC_CALLER, text(&self.own_name)?);
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        map.insert(headers::CONTEXT_TTL_MS, HeaderValue::from(millis));
        Ok(request)
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
    let own_kind = call.identity.as_ref().map(|identity| identity.spiffe().contains("/service/inventory"));
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
