//! Shards over gRPC.

use std::sync::Arc;

use meshkit_api::{Ask, Verb, grpc_answer, invalid, outcome_to_wire, timestamp, valid};
use meshkit_model::lifecycle::{LEASE, RENEWAL, Said, Word};
use meshkit_model::{Invalid, PeerId, ShardStatus};
use omnirelay_proto::meshkit::v1::{self as wire, shards_service_server::ShardsService};
use relay_core::Status;
use tonic::{Request, Response};

use crate::assign::Assignment;
use crate::owners::{Owned, Report, bounded, name};
use crate::past::Past;
use crate::rest::load_of;
use crate::shards::{Listing, Shards};
use crate::simulate::{Asked, Question};
use crate::snapshot::Watching;
use crate::wire::shard_to_wire;

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
            shards: page.shards.iter().map(|shard| shard_to_wire(shard)).collect(),
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
        Ok(wire::LookupShardResponse { shard: Some(shard_to_wire(&shard)) })
    }

    async fn get(&self, request: Request<wire::GetShardRequest>) -> Result<wire::GetShardResponse, Status> {
        let named = |asked: &wire::GetShardRequest| name(&asked.shard_namespace, asked.id);
        let (_, asked) = self.0.gate.grpc(Verb::ShardsGet, request, named).await?;
        let shard = self.0.get(&asked.shard_namespace, asked.id)?;
        Ok(wire::GetShardResponse { shard: Some(shard_to_wire(&shard)) })
    }

    async fn watch(&self, request: Request<wire::WatchShardsRequest>) -> Result<Watching, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ShardsWatch, request, |_| "shard".to_owned()).await?;
        self.0.watch(asked)
    }

    async fn diff(
        &self,
        request: Request<wire::DiffShardsRequest>,
    ) -> Result<wire::DiffShardsResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ShardsDiff, request, |_| "shard".to_owned()).await?;
        let diff = self.0.diff(&asked.shard_namespace, asked.from_revision, asked.to_revision).await?;
        let changes = diff.changes.into_iter().map(|one| wire::ShardDiff {
            shard_namespace: one.namespace,
            id: one.id,
            before: one.before.as_ref().map(shard_to_wire),
            after: one.after.as_ref().map(shard_to_wire),
        });
        Ok(wire::DiffShardsResponse {
            changes: changes.collect(),
            from_revision: diff.from,
            to_revision: diff.to,
            truncated: diff.truncated,
        })
    }

    async fn history(
        &self,
        request: Request<wire::ListShardHistoryRequest>,
    ) -> Result<wire::ListShardHistoryResponse, Status> {
        let named = |asked: &wire::ListShardHistoryRequest| name(&asked.shard_namespace, asked.id);
        let (_, asked) = self.0.gate.grpc(Verb::ShardsHistory, request, named).await?;
        let entries = self.0.history(&asked.shard_namespace, asked.id, asked.page_size).await?.into_iter();
        let entry = |past: Past| wire::ShardHistoryEntry {
            revision: past.revision,
            at: Some(timestamp(past.at)),
            actor: past.actor,
            action: past.action,
            reason: past.reason,
            ticket: past.ticket,
            shard: past.shard.as_ref().map(shard_to_wire),
        };
        Ok(wire::ListShardHistoryResponse { entries: entries.map(entry).collect() })
    }

    async fn simulate(
        &self,
        request: Request<wire::SimulateShardsRequest>,
    ) -> Result<wire::SimulateShardsResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ShardsSimulate, request, |_| "shard".to_owned()).await?;
        let node = |node: wire::SimulatedNode| Asked { id: node.id, zone: node.zone, weight: node.weight };
        let question = Question {
            namespace: asked.shard_namespace,
            add: asked.add.into_iter().map(node).collect(),
            remove: asked.remove,
            reweight: asked.reweight.into_iter().map(node).collect(),
        };
        let answer = self.0.simulate(&question)?;
        let moves = answer.moves.into_iter().map(|one| wire::SimulatedMove {
            shard_namespace: one.namespace,
            id: one.id,
            from: one.from,
            to: one.to,
        });
        let loads = answer.loads.into_iter().map(|load| wire::SimulatedLoad {
            node: load.node,
            before: load.before,
            after: load.after,
        });
        Ok(wire::SimulateShardsResponse {
            moves: moves.collect(),
            moved: answer.moved,
            shards: answer.shards,
            moved_percent: answer.moved_percent,
            loads: loads.collect(),
            revision: answer.revision,
        })
    }

    async fn owners(
        &self,
        request: Request<wire::ListShardOwnersRequest>,
    ) -> Result<wire::ListShardOwnersResponse, Status> {
        let (_, asked) = self.0.gate.grpc(Verb::ShardsOwners, request, |_| "shard".to_owned()).await?;
        let (owners, revision) = self.0.owners.list(&asked.shard_namespace);
        let owner = |owned: Owned| wire::ShardOwner {
            owner: owned.owner,
            zone: owned.zone,
            shards: owned.shards,
            active: owned.active,
            incoming: owned.incoming,
            calls_per_second: owned.calls_per_second,
        };
        Ok(wire::ListShardOwnersResponse { owners: owners.into_iter().map(owner).collect(), revision })
    }

    async fn assign(
        &self,
        request: Request<wire::AssignShardRequest>,
    ) -> Result<wire::AssignShardResponse, Status> {
        let named = |asked: &wire::AssignShardRequest| name(&asked.shard_namespace, asked.id);
        let (caller, asked) = self.0.gate.grpc(Verb::ShardsAssign, request, named).await?;
        let ask = Ask::of_grpc(Verb::ShardsAssign, asked.options)?;
        let (namespace, id) = (asked.shard_namespace, asked.id);
        let asked = Assignment { namespace, id, peer: asked.peer, fence: asked.fence };
        let changed = self.0.assign(&caller, &ask, &asked).await?;
        Ok(wire::AssignShardResponse {
            shard: Some(shard_to_wire(&changed.record)),
            outcome: Some(outcome_to_wire(changed.outcome)),
        })
    }

    async fn report(
        &self,
        request: Request<wire::ReportOwnershipRequest>,
    ) -> Result<wire::ReportOwnershipResponse, Status> {
        let named = |asked: &wire::ReportOwnershipRequest| format!("peer/{}", asked.peer);
        let (caller, asked) = self.0.gate.grpc(Verb::ShardsReport, request, named).await?;
        bounded("words", asked.words.len())?;
        bounded("loads", asked.loads.len())?;
        let peer = valid(PeerId::new(asked.peer))?;
        let words = asked.words.into_iter().map(|word| said(&peer, word)).collect::<Result<_, _>>()?;
        let load = load_of(asked.loads.iter().map(|load| load.calls_per_second))?;
        let report = Report { peer, words, load, leaving: asked.leaving };
        let accepted = self.0.owners.report(&caller, &report).await?;
        let ms = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Ok(wire::ReportOwnershipResponse { lease_ms: ms(LEASE), report_interval_ms: ms(RENEWAL), accepted })
    }
}

fn said(peer: &PeerId, word: wire::OwnershipWord) -> Result<(String, u32, Said), Status> {
    let kind = match word.kind() {
        wire::OwnershipWordKind::Warming => Word::Warming,
        wire::OwnershipWordKind::Ready => Word::Ready,
        wire::OwnershipWordKind::Released => Word::Released,
        wire::OwnershipWordKind::Restarted => Word::Restarted,
        wire::OwnershipWordKind::Unspecified => {
            return Err(invalid(&Invalid::new("words", "has one of a kind that is not known")));
        }
    };
    let said = Said { peer: peer.clone(), version: word.record_version, fence: word.fence, word: kind };
    Ok((word.shard_namespace, word.id, said))
}

#[tonic::async_trait]
impl ShardsService for Service {
    type WatchShardsStream = Watching;

    async fn watch_shards(
        &self,
        request: Request<wire::WatchShardsRequest>,
    ) -> Result<Response<Watching>, tonic::Status> {
        grpc_answer(self.watch(request).await)
    }

    async fn get_shard(
        &self,
        request: Request<wire::GetShardRequest>,
    ) -> Result<Response<wire::GetShardResponse>, tonic::Status> {
        grpc_answer(self.get(request).await)
    }

    async fn diff_shards(
        &self,
        request: Request<wire::DiffShardsRequest>,
    ) -> Result<Response<wire::DiffShardsResponse>, tonic::Status> {
        grpc_answer(self.diff(request).await)
    }

    async fn list_shard_history(
        &self,
        request: Request<wire::ListShardHistoryRequest>,
    ) -> Result<Response<wire::ListShardHistoryResponse>, tonic::Status> {
        grpc_answer(self.history(request).await)
    }

    async fn simulate_shards(
        &self,
        request: Request<wire::SimulateShardsRequest>,
    ) -> Result<Response<wire::SimulateShardsResponse>, tonic::Status> {
        grpc_answer(self.simulate(request).await)
    }

    async fn list_shard_owners(
        &self,
        request: Request<wire::ListShardOwnersRequest>,
    ) -> Result<Response<wire::ListShardOwnersResponse>, tonic::Status> {
        grpc_answer(self.owners(request).await)
    }

    async fn assign_shard(
        &self,
        request: Request<wire::AssignShardRequest>,
    ) -> Result<Response<wire::AssignShardResponse>, tonic::Status> {
        grpc_answer(self.assign(request).await)
    }

    async fn report_ownership(
        &self,
        request: Request<wire::ReportOwnershipRequest>,
    ) -> Result<Response<wire::ReportOwnershipResponse>, tonic::Status> {
        grpc_answer(self.report(request).await)
    }

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
