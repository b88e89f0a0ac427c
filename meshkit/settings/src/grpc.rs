//! The configuration over gRPC.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use meshkit_api::{Ask, Verb, grpc_answer, invalid, outcome_to_wire, timestamp};
use meshkit_model::{ConfigDocument, Invalid};
use omnirelay_proto::meshkit::v1::{self as wire, config_service_server::ConfigService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::document::Settings;
use crate::rest::{limit, watched};

pub(crate) struct Service(pub(crate) Arc<Settings>);

type Watching = BoxStream<'static, Result<wire::WatchConfigResponse, tonic::Status>>;

impl Service {
    async fn watch(&self, request: Request<wire::WatchConfigRequest>) -> Result<Watching, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ConfigWatch, request, |_| record()).await?;
        let watch = self.0.gate.watch(watched(), asked.after_revision, &asked.resume_token)?;
        Ok(self.0.gate.grpc_watch(watch, |event, document: Option<ConfigDocument>| {
            let config = document.map(to_wire).transpose()?;
            Ok(wire::WatchConfigResponse { event: Some(event), config })
        }))
    }

    async fn get(&self, request: Request<wire::GetConfigRequest>) -> Result<wire::GetConfigResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ConfigGet, request, |_| record()).await?;
        let document = match asked.number {
            0 => self.0.present(),
            number => self.0.version(number)?,
        };
        Ok(wire::GetConfigResponse { config: Some(to_wire(document)?) })
    }

    async fn history(
        &self,
        request: Request<wire::ListConfigHistoryRequest>,
    ) -> Result<wire::ListConfigHistoryResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ConfigHistory, request, |_| record()).await?;
        let versions = self.0.history(limit(asked.page_size)?).into_iter().map(to_wire);
        Ok(wire::ListConfigHistoryResponse { versions: versions.collect::<Result<_, _>>()? })
    }

    async fn patch(
        &self,
        request: Request<wire::PatchConfigRequest>,
    ) -> Result<wire::PatchConfigResponse, Status> {
        let (caller, asked) = self.0.gate.grpc(Verb::ConfigPatch, request, |_| record()).await?;
        let ask = Ask::of_grpc(Verb::ConfigPatch, asked.options)?;
        let patch = serde_json::from_str(&asked.merge_patch)
            .map_err(|error| invalid(&Invalid::new("merge_patch", format!("is no JSON: {error}"))))?;
        let changed = self.0.patch(&caller, &ask, &patch).await?;
        Ok(wire::PatchConfigResponse {
            config: Some(to_wire(changed.record)?),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }

    async fn roll_back(
        &self,
        request: Request<wire::RollbackConfigRequest>,
    ) -> Result<wire::RollbackConfigResponse, Status> {
        let (caller, asked) = self.0.gate.grpc(Verb::ConfigRollback, request, |_| record()).await?;
        let ask = Ask::of_grpc(Verb::ConfigRollback, asked.options)?;
        let changed = self.0.roll_back(&caller, &ask, asked.to_number).await?;
        Ok(wire::RollbackConfigResponse {
            config: Some(to_wire(changed.record)?),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }
}

#[tonic::async_trait]
impl ConfigService for Service {
    type WatchConfigStream = Watching;

    async fn watch_config(
        &self,
        request: Request<wire::WatchConfigRequest>,
    ) -> Result<Response<Watching>, tonic::Status> {
        grpc_answer(self.watch(request).await)
    }

    async fn get_config(
        &self,
        request: Request<wire::GetConfigRequest>,
    ) -> Result<Response<wire::GetConfigResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn list_config_history(
        &self,
        request: Request<wire::ListConfigHistoryRequest>,
    ) -> Result<Response<wire::ListConfigHistoryResponse>, tonic::Status> {
        grpc_answer(self.history(request).await)
    }

    async fn patch_config(
        &self,
        request: Request<wire::PatchConfigRequest>,
    ) -> Result<Response<wire::PatchConfigResponse>, tonic::Status> {
        grpc_answer(self.patch(request).await)
    }

    async fn rollback_config(
        &self,
        request: Request<wire::RollbackConfigRequest>,
    ) -> Result<Response<wire::RollbackConfigResponse>, tonic::Status> {
        grpc_answer(self.roll_back(request).await)
    }
}

fn record() -> String {
    "config/mesh".to_owned()
}

fn to_wire(document: ConfigDocument) -> Result<wire::Config, Status> {
    let json = serde_json::to_string(&document.content)
        .map_err(|error| Status::internal(format!("the answer cannot be written: {error}")))?;
    Ok(wire::Config {
        number: document.number,
        json,
        changed_at: Some(timestamp(document.changed_at)),
        changed_by: document.changed_by,
        reason: document.reason,
        ticket: document.ticket,
        rolled_back_to: document.rolled_back_to.unwrap_or(0),
    })
}
