//! Copies of the store.

use omnirelay_proto::meshkit::v1;
use relay_core::{Negotiated, Status};
use v1::backup_service_client::BackupServiceClient;

use crate::client::{Answer, MeshClient};
use crate::error::MeshError;

/// A copy of the store on its way.
#[derive(Debug)]
pub struct Backup {
    /// What it is. Whoever keeps it compares its size and sum with what came.
    pub info: v1::BackupInfo,
    chunks: tonic::Streaming<v1::TakeBackupResponse>,
    endpoint: String,
}

impl MeshClient {
    /// Takes a copy of the whole store, secrets included.
    ///
    /// # Errors
    /// `failed-precondition` where the store is in etcd, `unavailable` while another copy is taken.
    pub async fn take_backup(&self) -> Result<Answer<Backup>, MeshError> {
        let mut client = BackupServiceClient::new(self.wire.clone());
        let endpoint = self.channel().endpoint().to_owned();
        let failed = |status: tonic::Status| MeshError::from_grpc(&endpoint, &status);
        // How long it takes depends on how much there is, so there is no deadline.
        let response = client.take_backup(v1::TakeBackupRequest {}).await.map_err(failed)?;
        let negotiated = response.extensions().get::<Negotiated>().copied();
        let mut chunks = response.into_inner();
        let first = chunks.message().await.map_err(failed)?;
        let (Some(info), Some(negotiated)) = (first.and_then(|first| first.info), negotiated) else {
            return Err(self.error(Status::internal("the control plane does not say what the copy is")));
        };
        Ok(Answer { value: Backup { info, chunks, endpoint }, negotiated })
    }
}

impl Backup {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// A copy that was cut short.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, MeshError> {
        let chunk = self.chunks.message().await;
        let chunk = chunk.map_err(|status| MeshError::from_grpc(&self.endpoint, &status))?;
        Ok(chunk.map(|chunk| chunk.chunk))
    }
}
