//! Following peers: what there is, then every change, across restarts of either side.

use std::collections::VecDeque;
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use relay_core::Code;
use v1::WatchEventType;

use crate::client::{MeshClient, PeerFilter};
use crate::error::MeshError;

/// How long to wait before the control plane is called again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What became of peers.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerChange {
    /// These and no others are there: at first, and where changes were missed. What was known
    /// before is to be forgotten.
    Listed(Vec<v1::Peer>),
    /// This one is new or changed.
    Put(Box<v1::Peer>),
    /// The one of this id is gone, or is none that the filter asks for any more.
    Deleted(String),
}

/// Follows the peers of a filter: its exact fields count, `filter` and `sort` do not.
#[derive(Debug)]
pub struct PeerWatch {
    client: MeshClient,
    filter: PeerFilter,
    events: Option<tonic::Streaming<v1::WatchPeersResponse>>,
    /// Where to go on; empty before the first listing and where changes were missed.
    token: String,
    pause: Duration,
    told: VecDeque<PeerChange>,
}

impl MeshClient {
    /// Follows the peers of a filter.
    #[must_use]
    pub fn watch_peers(&self, filter: PeerFilter) -> PeerWatch {
        let filter = PeerFilter { filter: String::new(), sort: String::new(), ..filter };
        PeerWatch {
            client: self.clone(),
            filter,
            events: None,
            token: String::new(),
            pause: FIRST_PAUSE,
            told: VecDeque::new(),
        }
    }
}

impl PeerWatch {
    /// The next change, in the order of the mesh, none of them twice. Where the control plane is
    /// away it waits and goes on where it was. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What trying again does not help against, such as `permission-denied`.
    pub async fn next(&mut self) -> Result<PeerChange, MeshError> {
        loop {
            if let Some(change) = self.told.pop_front() {
                return Ok(change);
            }
            match self.step().await {
                Ok(()) => self.pause = FIRST_PAUSE,
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the watch of peers goes on where it was");
                    self.events = None;
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// Connects, or takes one event.
    async fn step(&mut self) -> Result<(), MeshError> {
        let Some(events) = &mut self.events else {
            return self.connect().await;
        };
        let endpoint = self.client.channel().endpoint();
        let answer = events.message().await.map_err(|status| MeshError::from_grpc(endpoint, &status))?;
        let Some(answer) = answer else {
            self.events = None;
            return Ok(());
        };
        let event = answer.event.unwrap_or_default();
        match event.r#type() {
            WatchEventType::Put => self.told.extend(answer.peer.map(|peer| PeerChange::Put(Box::new(peer)))),
            WatchEventType::Deleted => self.told.push_back(PeerChange::Deleted(event.key)),
            WatchEventType::ResyncRequired => {
                self.token.clear();
                self.events = None;
                return Ok(());
            }
            WatchEventType::Bookmark | WatchEventType::Unspecified => {}
        }
        self.token = event.resume_token;
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), MeshError> {
        let mut request = v1::WatchPeersRequest {
            role: self.filter.role.clone(),
            service: self.filter.service.clone(),
            cluster: self.filter.cluster.clone(),
            status: self.filter.status.map_or(0, i32::from),
            after_revision: 0,
            resume_token: self.token.clone(),
        };
        let mut listed = None;
        if self.token.is_empty() {
            // Pages are read at different revisions: what changed since the first is told again.
            let mut pages = self.client.peer_pages(self.filter.clone());
            let mut peers = Vec::new();
            while let Some(page) = pages.next().await? {
                if request.after_revision == 0 {
                    request.after_revision = page.value.revision;
                }
                peers.extend(page.value.peers);
            }
            listed = Some(PeerChange::Listed(peers));
        }
        let endpoint = self.client.channel().endpoint();
        let watched = self.client.registry().watch_peers(request).await;
        let events = watched.map_err(|status| MeshError::from_grpc(endpoint, &status))?.into_inner();
        self.events = Some(events);
        self.told.extend(listed);
        Ok(())
    }
}

fn is_final(error: &MeshError) -> bool {
    matches!(
        error.code,
        Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
    )
}
