//! What operators do to peers.

use std::collections::BTreeMap;

use omnirelay_proto::meshkit::v1;

use crate::change::{Change, Changed, changed};
use crate::client::{Answer, MeshClient};
use crate::error::MeshError;

impl MeshClient {
    /// Gives a peer no new shards.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn cordon_peer(
        &self,
        id: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Peer>>, MeshError> {
        let request = v1::CordonPeerRequest { id: id.to_owned(), options: Some(change.options()) };
        let mut client = self.registry();
        let answer = self.call(request, async |request| client.cordon_peer(request).await).await?;
        self.present(answer, |answer| changed(answer.peer, answer.outcome))
    }

    /// Ends a cordon or a drain.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn uncordon_peer(
        &self,
        id: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Peer>>, MeshError> {
        let request = v1::UncordonPeerRequest { id: id.to_owned(), options: Some(change.options()) };
        let mut client = self.registry();
        let answer = self.call(request, async |request| client.uncordon_peer(request).await).await?;
        self.present(answer, |answer| changed(answer.peer, answer.outcome))
    }

    /// Moves all shards away from a peer. To be confirmed.
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn drain_peer(
        &self,
        id: &str,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Peer>>, MeshError> {
        let request = v1::DrainPeerRequest { id: id.to_owned(), options: Some(change.options()) };
        let mut client = self.registry();
        let answer = self.call(request, async |request| client.drain_peer(request).await).await?;
        self.present(answer, |answer| changed(answer.peer, answer.outcome))
    }

    /// Sets labels over those that a peer registers with (`Some`), or hides them (`None`).
    ///
    /// # Errors
    /// `failed-precondition` where the state does not permit it, `aborted` where another version is there by now.
    pub async fn label_peer(
        &self,
        id: &str,
        labels: &BTreeMap<String, Option<String>>,
        change: &Change,
    ) -> Result<Answer<Changed<v1::Peer>>, MeshError> {
        let request = v1::PatchPeerLabelsRequest {
            id: id.to_owned(),
            set: labels.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect(),
            remove: labels.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect(),
            options: Some(change.options()),
        };
        let mut client = self.registry();
        let answer = self.call(request, async |request| client.patch_peer_labels(request).await).await?;
        self.present(answer, |answer| changed(answer.peer, answer.outcome))
    }

    /// Counts peers by software version.
    ///
    /// # Errors
    /// A [`MeshError`], as every call.
    pub async fn list_versions(&self) -> Result<Answer<v1::ListVersionsResponse>, MeshError> {
        let request = v1::ListVersionsRequest {};
        let mut client = self.registry();
        let answer = self.call(request, async |request| client.list_versions(request).await).await?;
        self.present(answer, Some)
    }
}
