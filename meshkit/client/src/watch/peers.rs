//! Following peers.

use omnirelay_proto::meshkit::v1;

use super::{Followed, Source, Watch};
use crate::client::{MeshClient, PeerFilter};
use crate::error::MeshError;

/// What became of peers.
pub type PeerChange = Followed<v1::Peer>;

/// Follows the peers of a filter: its exact fields count, `filter` and `sort` do not.
#[derive(Debug)]
pub struct PeerWatch(Watch<Peers>);

#[derive(Debug)]
struct Peers(PeerFilter);

impl MeshClient {
    /// Follows the peers of a filter.
    #[must_use]
    pub fn watch_peers(&self, filter: PeerFilter) -> PeerWatch {
        let filter = PeerFilter { filter: String::new(), sort: String::new(), ..filter };
        PeerWatch(Watch::new(self, Peers(filter)))
    }
}

impl PeerWatch {
    /// The next change, in the order of the mesh, none of them twice. Where the control plane is
    /// away it waits and goes on where it was. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What trying again does not help against, such as `permission-denied`.
    pub async fn next(&mut self) -> Result<PeerChange, MeshError> {
        self.0.next().await
    }
}

impl Source for Peers {
    type Record = v1::Peer;
    type Message = v1::WatchPeersResponse;

    async fn list(&self, client: &MeshClient) -> Result<(Vec<v1::Peer>, u64), MeshError> {
        // Pages are read at different revisions: what changed since the first is told again.
        let mut pages = client.peer_pages(self.0.clone());
        let (mut peers, mut revision) = (Vec::new(), 0);
        while let Some(page) = pages.next().await? {
            if revision == 0 {
                revision = page.value.revision;
            }
            peers.extend(page.value.peers);
        }
        Ok((peers, revision))
    }

    async fn open(
        &self,
        client: &MeshClient,
        after_revision: u64,
        resume_token: String,
    ) -> Result<tonic::Streaming<v1::WatchPeersResponse>, tonic::Status> {
        let request = v1::WatchPeersRequest {
            role: self.0.role.clone(),
            service: self.0.service.clone(),
            cluster: self.0.cluster.clone(),
            status: self.0.status.map_or(0, i32::from),
            after_revision,
            resume_token,
        };
        Ok(client.registry().watch_peers(request).await?.into_inner())
    }

    fn read(message: v1::WatchPeersResponse) -> (Option<v1::WatchEvent>, Option<v1::Peer>) {
        (message.event, message.peer)
    }
}
