//! Copies over gRPC: a message that says what follows, then its bytes.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use meshkit_api::{grpc_answer, grpc_status};
use omnirelay_proto::meshkit::v1::{self as wire, backup_service_server::BackupService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::copies::Copies;

pub(crate) struct Service(pub(crate) Arc<Copies>);

type Taken = BoxStream<'static, Result<wire::TakeBackupResponse, tonic::Status>>;

impl Service {
    async fn take(&self, request: Request<wire::TakeBackupRequest>) -> Result<Taken, Status> {
        let (metadata, extensions, _) = request.into_parts();
        let copy = self.0.take(&extensions, metadata.as_ref()).await?;
        let info = wire::BackupInfo {
            store_id: copy.store_id.clone(),
            incarnation: copy.incarnation,
            revision: copy.revision,
            size_bytes: copy.bytes,
            sha256: HEXLOWER.encode(&copy.sha256),
        };
        let first = wire::TakeBackupResponse { info: Some(info), chunk: Vec::new() };
        let chunks = copy.chunks().map(|chunk| match chunk {
            Ok(chunk) => Ok(wire::TakeBackupResponse { info: None, chunk: chunk.to_vec() }),
            Err(status) => Err(grpc_status(&status)),
        });
        Ok(stream::once(async { Ok(first) }).chain(chunks).boxed())
    }
}

#[tonic::async_trait]
impl BackupService for Service {
    type TakeBackupStream = Taken;

    async fn take_backup(
        &self,
        request: Request<wire::TakeBackupRequest>,
    ) -> Result<Response<Taken>, tonic::Status> {
        grpc_answer(self.take(request).await)
    }
}
