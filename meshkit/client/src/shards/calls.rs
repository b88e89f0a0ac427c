//! The calls about shards and namespaces.

use omnirelay_proto::meshkit::v1;
use v1::namespaces_service_client::NamespacesServiceClient;

use crate::change::{Change, Changed, changed};
use crate::client::{Answer, MeshClient, PAGE};
use crate::error::MeshError;
use crate::wire::Wire;

/// What would come, go or weigh otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Simulation {
    /// One namespace; empty for all.
    pub namespace: String,
    /// Peers that would come.
    pub add: Vec<v1::SimulatedNode>,
    /// Peers that would be gone.
    pub remove: Vec<String>,
    /// Peers that would have another weight.
    pub reweight: Vec<v1::SimulatedNode>,
}

/// Which shard is to be bound to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignShard {
    /// The namespace.
    pub namespace: String,
    /// The shard's number.
    pub id: u32,
    /// Who is to own it; empty gives it back to the strategy.
    pub peer: String,
    /// The fence that the caller saw.
    pub fence: u64,
}

/// The messages of a watch of shards.
#[derive(Debug)]
pub struct ShardMessages {
    stream: tonic::Streaming<v1::WatchShardsResponse>,
    endpoint: String,
}

impl ShardMessages {
    /// The next message; none where the control plane ended the watch.
    ///
    /// # Errors
    /// What broke the watch off.
    pub async fn next(&mut self) -> Result<Option<v1::WatchShardsResponse>, MeshError> {
        self.stream.message().await.map_err(|status| MeshError::from_grpc(&self.endpoint, &status))
    }
}

impl MeshClient {
    fn namespaces_service(&self) -> NamespacesServiceClient<Wire> {
        NamespacesServiceClient::new(self.wire.clone())
    }

    /// One shard.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn get_shard(&self, namespace: &str, id: u32) -> Result<Answer<v1::Shard>, MeshError> {
        let request = v1::GetShardRequest { shard_namespace: namespace.to_owned(), id };
        let mut client = self.shards_service();
        let answer = self.call(request, async |request| client.get_shard(request).await).await?;
        self.present(answer, |answer| answer.shard)
    }

    /// Follows shards where a token says, or from a snapshot on where it is empty; an empty namespace means all.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn watch_shards(
        &self,
        namespace: &str,
        resume_token: &str,
    ) -> Result<ShardMessages, MeshError> {
        let request = v1::WatchShardsRequest {
            shard_namespace: namespace.to_owned(),
            resume_token: resume_token.to_owned(),
            snapshot: true,
            ..v1::WatchShardsRequest::default()
        };
        let endpoint = self.channel().endpoint();
        let watched = self.shards_service().watch_shards(request).await;
        let stream = watched.map_err(|status| MeshError::from_grpc(endpoint, &status))?.into_inner();
        Ok(ShardMessages { stream, endpoint: endpoint.to_owned() })
    }

    /// What changed behind a revision up to another one, 0 for now; an empty namespace means all.
    ///
    /// # Errors
    /// `out-of-range` where that is not known any more.
    pub async fn diff_shards(
        &self,
        namespace: &str,
        from_revision: u64,
        to_revision: u64,
    ) -> Result<Answer<v1::DiffShardsResponse>, MeshError> {
        let shard_namespace = namespace.to_owned();
        let request = v1::DiffShardsRequest { shard_namespace, from_revision, to_revision };
        let mut client = self.shards_service();
        self.call(request, async |request| client.diff_shards(request).await).await
    }

    /// The newest changes of one shard, newest first; `limit` 0 means 100.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn shard_history(
        &self,
        namespace: &str,
        id: u32,
        limit: u32,
    ) -> Result<Answer<Vec<v1::ShardHistoryEntry>>, MeshError> {
        let shard_namespace = namespace.to_owned();
        let request = v1::ListShardHistoryRequest { shard_namespace, id, page_size: limit };
        let mut client = self.shards_service();
        let answer = self.call(request, async |request| client.list_shard_history(request).await).await?;
        self.present(answer, |answer| Some(answer.entries))
    }

    /// What would move; nothing is written.
    ///
    /// # Errors
    /// `not-found` for an unknown namespace or peer.
    pub async fn simulate_shards(
        &self,
        simulation: &Simulation,
    ) -> Result<Answer<v1::SimulateShardsResponse>, MeshError> {
        let request = v1::SimulateShardsRequest {
            shard_namespace: simulation.namespace.clone(),
            add: simulation.add.clone(),
            remove: simulation.remove.clone(),
            reweight: simulation.reweight.clone(),
        };
        let mut client = self.shards_service();
        self.call(request, async |request| client.simulate_shards(request).await).await
    }

    /// What each owner has; an empty namespace means all.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn shard_owners(
        &self,
        namespace: &str,
    ) -> Result<Answer<v1::ListShardOwnersResponse>, MeshError> {
        let request = v1::ListShardOwnersRequest { shard_namespace: namespace.to_owned() };
        let mut client = self.shards_service();
        self.call(request, async |request| client.list_shard_owners(request).await).await
    }

    /// Binds a shard to a peer, or to none.
    ///
    /// # Errors
    /// `aborted` where the fence is stale, `failed-precondition` where the peer cannot own.
    pub async fn assign_shard(
        &self,
        asked: &AssignShard,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Shard>>, MeshError> {
        let request = v1::AssignShardRequest {
            shard_namespace: asked.namespace.clone(),
            id: asked.id,
            peer: asked.peer.clone(),
            fence: asked.fence,
            options: Some(change.options()),
        };
        let mut client = self.shards_service();
        let answer = self.call(request, async |request| client.assign_shard(request).await).await?;
        self.present(answer, |answer| changed(answer.shard, answer.outcome))
    }

    /// Renews an owner's lease and says how far its shards are.
    ///
    /// # Errors
    /// `not-found` where the peer has to register first.
    pub async fn report_ownership(
        &self,
        request: v1::ReportOwnershipRequest,
    ) -> Result<Answer<v1::ReportOwnershipResponse>, MeshError> {
        let mut client = self.shards_service();
        self.call(request, async |request| client.report_ownership(request).await).await
    }

    /// All namespaces by name.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn namespaces(&self) -> Result<Answer<Vec<v1::Namespace>>, MeshError> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.list_namespaces(PAGE, &token).await?;
            all.extend(page.value.namespaces);
            token = page.value.next_page_token;
            if token.is_empty() {
                return Ok(Answer { value: all, negotiated: page.negotiated });
            }
        }
    }

    /// One page of namespaces; `page_size` 0 means 100, an empty token the first page.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_namespaces(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<Answer<v1::ListNamespacesResponse>, MeshError> {
        let request = v1::ListNamespacesRequest { page_size, page_token: page_token.to_owned() };
        let mut client = self.namespaces_service();
        self.call(request, async |request| client.list_namespaces(request).await).await
    }

    /// One namespace.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn get_namespace(&self, name: &str) -> Result<Answer<v1::Namespace>, MeshError> {
        let request = v1::GetNamespaceRequest { name: name.to_owned() };
        let mut client = self.namespaces_service();
        let answer = self.call(request, async |request| client.get_namespace(request).await).await?;
        self.present(answer, |answer| answer.shard_namespace)
    }

    /// Adds a namespace; its shards follow at once.
    ///
    /// # Errors
    /// `already-exists` where there is one of this name.
    pub async fn create_namespace(
        &self,
        namespace: v1::Namespace,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Namespace>>, MeshError> {
        let options = Some(change.options());
        let request = v1::CreateNamespaceRequest { shard_namespace: Some(namespace), options };
        let mut client = self.namespaces_service();
        let answer = self.call(request, async |request| client.create_namespace(request).await).await?;
        self.present(answer, |answer| changed(answer.shard_namespace, answer.outcome))
    }

    /// Changes the named fields of a namespace.
    ///
    /// # Errors
    /// `aborted` where another version is there by now.
    pub async fn update_namespace(
        &self,
        namespace: v1::Namespace,
        fields: &[&str],
        change: &Change,
    ) -> Result<Answer<Changed<v1::Namespace>>, MeshError> {
        let paths = fields.iter().map(|field| (*field).to_owned()).collect();
        let request = v1::UpdateNamespaceRequest {
            shard_namespace: Some(namespace),
            update_mask: Some(prost_types::FieldMask { paths }),
            options: Some(change.options()),
        };
        let mut client = self.namespaces_service();
        let answer = self.call(request, async |request| client.update_namespace(request).await).await?;
        self.present(answer, |answer| changed(answer.shard_namespace, answer.outcome))
    }

    /// Removes a namespace with its shards. To be confirmed.
    ///
    /// # Errors
    /// `not-found` where there is none.
    pub async fn delete_namespace(
        &self,
        name: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Namespace>>, MeshError> {
        let options = Some(change.options());
        let request = v1::DeleteNamespaceRequest { name: name.to_owned(), options };
        let mut client = self.namespaces_service();
        let answer = self.call(request, async |request| client.delete_namespace(request).await).await?;
        self.present(answer, |answer| changed(answer.shard_namespace, answer.outcome))
    }
}
