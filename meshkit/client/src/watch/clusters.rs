//! Following clusters.

use omnirelay_proto::meshkit::v1;

use super::{Followed, Source, Watch};
use crate::client::{MeshClient, PAGE};
use crate::error::MeshError;
use crate::govern::ClusterFilter;

/// What became of clusters.
pub type ClusterChange = Followed<v1::Cluster>;

/// Follows all clusters.
#[derive(Debug)]
pub struct ClusterWatch(Watch<Clusters>);

#[derive(Debug)]
struct Clusters;

impl MeshClient {
    /// Follows all clusters.
    #[must_use]
    pub fn watch_clusters(&self) -> ClusterWatch {
        ClusterWatch(Watch::new(self, Clusters))
    }
}

impl ClusterWatch {
    /// The next change, in the order of the mesh, none of them twice. Where the control plane is
    /// away it waits and goes on where it was. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What trying again does not help against, such as `permission-denied`.
    pub async fn next(&mut self) -> Result<ClusterChange, MeshError> {
        self.0.next().await
    }
}

impl Source for Clusters {
    type Record = v1::Cluster;
    type Message = v1::WatchClustersResponse;

    async fn list(&self, client: &MeshClient) -> Result<(Vec<v1::Cluster>, u64), MeshError> {
        let (mut clusters, mut revision, mut token) = (Vec::new(), 0, String::new());
        loop {
            let page = client.list_clusters(&ClusterFilter::default(), PAGE, &token).await?.value;
            // What changed since the first page is told again.
            if token.is_empty() {
                revision = page.revision;
            }
            clusters.extend(page.clusters);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok((clusters, revision));
            }
        }
    }

    async fn open(
        &self,
        client: &MeshClient,
        after_revision: u64,
        resume_token: String,
    ) -> Result<tonic::Streaming<v1::WatchClustersResponse>, tonic::Status> {
        let request = v1::WatchClustersRequest { state: 0, after_revision, resume_token };
        Ok(client.clusters_service().watch_clusters(request).await?.into_inner())
    }

    fn read(message: v1::WatchClustersResponse) -> (Option<v1::WatchEvent>, Option<v1::Cluster>) {
        (message.event, message.cluster)
    }
}
