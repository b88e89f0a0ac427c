//! Shards over gRPC.

use std::sync::Arc;

use meshkit_api::{Verb, grpc_answer, invalid, timestamp};
use meshkit_model::{Invalid, Shard, ShardStatus};
use omnirelay_proto::meshkit::v1::{self as wire, shards_service_server::ShardsService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::shards::{Listing, Shards};

pub(crate) struct Service(pub(crate) Arc<Shards>);

impl Service {
    async fn list(
        &self,
        request: Request<wire::ListShardsRequest>,
    ) -> Result<wire::ListShardsResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ShardsList, request, |_| "shard".to_owned()).await?;
        let listing = Listing {
            status: status_of(asked.status)?,
            namespace: asked.shard_namespace,
            owner: asked.owner,
            limit: asked.page_size,
            cursor: asked.page_token,
        };
        let page = self.0.list(listing)?;
        Ok(wire::ListShardsResponse {
            shards: page.shards.into_iter().map(shard_to_wire).collect(),
            next_page_token: page.next_cursor,
            revision: page.revision,
        })
    }

    async fn lookup(
        &self,
        request: Request<wire::LookupShardRequest>,
    ) -> Result<wire::LookupShardResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ShardsLookup, request, |_| "shard".to_owned()).await?;
        let shard = self.0.lookup(&asked.shard_namespace, &asked.key)?;
        Ok(wire::LookupShardResponse { shard: Some(shard_to_wire(shard)) })
    }
}

#[tonic::async_trait]
impl ShardsService for Service {
    async fn list_shards(
        &self,
        request: Request<wire::ListShardsRequest>,
    ) -> Result<Response<wire::ListShardsResponse>, tonic::Status> {
        grpc_answer(self.list(request).await)
    }

    async fn lookup_shard(
        &self,
        request: Request<wire::LookupShardRequest>,
    ) -> Result<Response<wire::LookupShardResponse>, tonic::Status> {
        grpc_answer(self.lookup(request).await)
    }
}

fn status_of(number: i32) -> Result<Option<ShardStatus>, Status> {
    match wire::ShardStatus::try_from(number) {
        Ok(wire::ShardStatus::Unspecified) => Ok(None),
        Ok(wire::ShardStatus::Active) => Ok(Some(ShardStatus::Active)),
        Ok(wire::ShardStatus::Draining) => Ok(Some(ShardStatus::Draining)),
        Ok(wire::ShardStatus::Paused) => Ok(Some(ShardStatus::Paused)),
        Ok(wire::ShardStatus::Disabled) => Ok(Some(ShardStatus::Disabled)),
        Err(_) => Err(invalid(&Invalid::new("status", format!("is {number}; it is one of ShardStatus")))),
    }
}

fn shard_to_wire(shard: Shard) -> wire::Shard {
    let status = match shard.status {
        ShardStatus::Active => wire::ShardStatus::Active,
        ShardStatus::Draining => wire::ShardStatus::Draining,
        ShardStatus::Paused => wire::ShardStatus::Paused,
        ShardStatus::Disabled => wire::ShardStatus::Disabled,
    };
    wire::Shard {
        shard_namespace: shard.namespace,
        id: shard.id,
        strategy: shard.strategy.as_str().to_owned(),
        owner: shard.owner.map(String::from).unwrap_or_default(),
        status: status.into(),
        fence: shard.fence,
        record_version: shard.record_version,
        changed_at: Some(timestamp(shard.changed_at)),
    }
}
