//! The calls.

use std::sync::Arc;
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use relay_client::Channel;
use relay_core::{Code, Negotiated, Status};
use tonic::{Request, Response};
use v1::registry_service_client::RegistryServiceClient;
use v1::shards_service_client::ShardsServiceClient;

use crate::credentials::Credentials;
use crate::error::MeshError;
use crate::failover::Failover;
use crate::pages::{PeerPages, ShardPages};
use crate::wire::{Carrier, Wire};

/// How long a call may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Records asked for at once where all are read.
pub(crate) const PAGE: u32 = 1_000;

/// An answer and how it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// The protocol that carried it, and why it was not a better one.
    pub negotiated: Negotiated,
}

/// Which peers to list; empty texts mean any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFilter {
    /// Exactly this role.
    pub role: String,
    /// Exactly this service.
    pub service: String,
    /// Exactly this cluster.
    pub cluster: String,
    /// Exactly this status.
    pub status: Option<v1::PeerStatus>,
    /// More conditions, all of which have to hold, such as `labels.team=core,id~green`.
    pub filter: String,
    /// Fields to sort by, such as `-lastSeenAt,id`; empty means by id.
    pub sort: String,
}

/// Which shards to list; empty texts mean any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardFilter {
    /// Exactly this namespace.
    pub namespace: String,
    /// Exactly this owner.
    pub owner: String,
    /// Exactly this status.
    pub status: Option<v1::ShardStatus>,
}

/// Calls one control plane. Cloning is cheap, and clones share their connections.
#[derive(Clone, Debug)]
pub struct MeshClient {
    pub(crate) wire: Wire,
    timeout: Duration,
}

impl MeshClient {
    /// A client over a channel; a call may take 10 s.
    #[must_use]
    pub fn new(channel: Channel, credentials: Credentials) -> Self {
        Self { wire: Wire { channel, carrier: None, credentials }, timeout: TIMEOUT }
    }

    /// A client of several control planes that share a store: calls stay with the first for as long as it serves, then with the
    /// next ([`Failover`]).
    #[must_use]
    pub fn with_fallbacks(channel: Channel, fallbacks: Vec<Channel>, credentials: Credentials) -> Self {
        let carrier = |channel| Arc::new(channel) as Arc<dyn Carrier>;
        let failover = Failover::new(carrier(channel.clone()), fallbacks.into_iter().map(carrier).collect());
        Self::new(channel, credentials).with_carrier(Arc::new(failover))
    }

    /// The same client with another time that a call may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client with something between it and the channel.
    #[must_use]
    pub fn with_carrier(mut self, carrier: Arc<dyn Carrier>) -> Self {
        self.wire.carrier = Some(carrier);
        self
    }

    /// Says goodbye to the control plane; later calls connect anew.
    pub async fn close(&self) {
        match &self.wire.carrier {
            Some(carrier) => carrier.close().await,
            None => self.wire.channel.close().await,
        }
    }

    /// The channel that carries the calls.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.wire.channel
    }

    /// One page of peers in id order; `page_size` 0 means 100, an empty token the first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_peers(
        &self,
        filter: &PeerFilter,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListPeersResponse>, MeshError> {
        let request = v1::ListPeersRequest {
            role: filter.role.clone(),
            service: filter.service.clone(),
            cluster: filter.cluster.clone(),
            status: filter.status.map_or(0, i32::from),
            page_size,
            page_token: page_token.to_owned(),
            filter: filter.filter.clone(),
            sort: filter.sort.clone(),
            read_mask: None,
        };
        let mut client = self.registry();
        self.call(request, async |request| client.list_peers(request).await).await
    }

    /// All peers, page by page.
    #[must_use]
    pub fn peer_pages(&self, filter: PeerFilter) -> PeerPages {
        PeerPages::new(self.clone(), filter)
    }

    /// All peers in id order.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn peers(&self, filter: PeerFilter) -> Result<Answer<Vec<v1::Peer>>, MeshError> {
        let first = self.list_peers(&filter, PAGE, "").await?;
        let (mut all, mut token) = (first.value.peers, first.value.next_page_token);
        let mut negotiated = first.negotiated;
        while !token.is_empty() {
            let page = self.list_peers(&filter, PAGE, &token).await?;
            all.extend(page.value.peers);
            token = page.value.next_page_token;
            negotiated = page.negotiated;
        }
        Ok(Answer { value: all, negotiated })
    }

    /// One peer.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn get_peer(&self, id: &str) -> Result<Answer<v1::Peer>, MeshError> {
        let request = v1::GetPeerRequest { id: id.to_owned() };
        let mut client = self.registry();
        let answer = self.call(request, async |request| client.get_peer(request).await).await?;
        self.present(answer, |response| response.peer)
    }

    /// Adds or renews a peer.
    ///
    /// # Errors
    /// `invalid-argument` names the field that is off; `permission-denied` where the certificate
    /// is another peer's.
    pub async fn register(&self, peer: v1::Peer) -> Result<Answer<v1::RegisterPeerResponse>, MeshError> {
        let request = v1::RegisterPeerRequest { peer: Some(peer) };
        let mut client = self.registry();
        self.call(request, async |request| client.register_peer(request).await).await
    }

    /// Says that a peer lives, or that it leaves.
    ///
    /// # Errors
    /// `not-found` where it has to register again.
    pub async fn heartbeat(
        &self,
        id: &str,
        leaving: bool,
    ) -> Result<Answer<v1::HeartbeatResponse>, MeshError> {
        let request = v1::HeartbeatRequest { id: id.to_owned(), leaving };
        let mut client = self.registry();
        self.call(request, async |request| client.heartbeat(request).await).await
    }

    /// One page of shards in the order of namespace and id; `page_size` 0 means 100, an empty
    /// token the first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_shards(
        &self,
        filter: &ShardFilter,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListShardsResponse>, MeshError> {
        let request = v1::ListShardsRequest {
            shard_namespace: filter.namespace.clone(),
            owner: filter.owner.clone(),
            status: filter.status.map_or(0, i32::from),
            page_size,
            page_token: page_token.to_owned(),
        };
        let mut client = self.shards_service();
        self.call(request, async |request| client.list_shards(request).await).await
    }

    /// All shards, page by page.
    #[must_use]
    pub fn shard_pages(&self, filter: ShardFilter) -> ShardPages {
        ShardPages::new(self.clone(), filter)
    }

    /// All shards in the order of namespace and id.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn shards(&self, filter: ShardFilter) -> Result<Answer<Vec<v1::Shard>>, MeshError> {
        let first = self.list_shards(&filter, PAGE, "").await?;
        let (mut all, mut token) = (first.value.shards, first.value.next_page_token);
        let mut negotiated = first.negotiated;
        while !token.is_empty() {
            let page = self.list_shards(&filter, PAGE, &token).await?;
            all.extend(page.value.shards);
            token = page.value.next_page_token;
            negotiated = page.negotiated;
        }
        Ok(Answer { value: all, negotiated })
    }

    /// The shard of a key.
    ///
    /// # Errors
    /// `not-found` for an unknown namespace.
    pub async fn lookup_shard(&self, namespace: &str, key: &[u8]) -> Result<Answer<v1::Shard>, MeshError> {
        let request = v1::LookupShardRequest { shard_namespace: namespace.to_owned(), key: key.to_vec() };
        let mut client = self.shards_service();
        let answer = self.call(request, async |request| client.lookup_shard(request).await).await?;
        self.present(answer, |response| response.shard)
    }

    pub(crate) fn registry(&self) -> RegistryServiceClient<Wire> {
        RegistryServiceClient::new(self.wire.clone())
    }

    pub(crate) fn shards_service(&self) -> ShardsServiceClient<Wire> {
        ShardsServiceClient::new(self.wire.clone())
    }

    pub(crate) async fn call<A, B>(
        &self,
        message: A,
        call: impl AsyncFnOnce(Request<A>) -> Result<Response<B>, tonic::Status>,
    ) -> Result<Answer<B>, MeshError> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let outcome = tokio::time::timeout(self.timeout, call(request)).await;
        let response = outcome
            .map_err(|_elapsed| {
                let message = format!("no answer within {} ms", self.timeout.as_millis());
                self.error(
                    Status::new(Code::DeadlineExceeded, message)
                        .with_hint("check that meshkitd runs and can be reached, or allow more time"),
                )
            })?
            .map_err(|status| MeshError::from_grpc(self.wire.channel.endpoint(), &status))?;
        let negotiated = response.extensions().get::<Negotiated>().copied();
        let negotiated = negotiated
            .ok_or_else(|| self.error(Status::internal("the channel did not tell its protocol")))?;
        Ok(Answer { value: response.into_inner(), negotiated })
    }

    pub(crate) fn present<A, B>(
        &self,
        answer: Answer<A>,
        field: impl FnOnce(A) -> Option<B>,
    ) -> Result<Answer<B>, MeshError> {
        let negotiated = answer.negotiated;
        match field(answer.value) {
            Some(value) => Ok(Answer { value, negotiated }),
            None => Err(self.error(Status::internal("the control plane's answer is empty"))),
        }
    }

    pub(crate) fn error(&self, status: Status) -> MeshError {
        MeshError::new(self.wire.channel.endpoint(), status)
    }
}
