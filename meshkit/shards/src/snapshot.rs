//! All shards as of one revision, and then every change.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use meshkit_model::{Kind, Shard};
use meshkit_store::{Filter, NamespaceShards};
use omnirelay_proto::meshkit::v1 as wire;
use relay_core::Status;

use crate::shards::Shards;
use crate::wire::shard_to_wire;

/// Shards of one part.
const PART: usize = 1_000;

pub(crate) type Watching = BoxStream<'static, Result<wire::WatchShardsResponse, tonic::Status>>;

/// The shards of a namespace and of an owner; an empty text means any.
pub(crate) fn watched(namespace: &str, owner: &str) -> Filter {
    let mut filter = Filter::of([Kind::Shard]);
    for (name, value) in [("namespace", namespace), ("owner", owner)] {
        if !value.is_empty() {
            filter = filter.field(name, value);
        }
    }
    filter
}

impl Shards {
    /// Follows shards, behind a snapshot of them where one is asked for and nothing says where to go on.
    pub(crate) fn watch(&self, asked: wire::WatchShardsRequest) -> Result<Watching, Status> {
        let filter = watched(&asked.shard_namespace, &asked.owner);
        let begins = asked.snapshot && asked.resume_token.is_empty() && asked.after_revision == 0;
        if !begins {
            let watch = self.gate.watch(filter, asked.after_revision, &asked.resume_token)?;
            return Ok(self.gate.grpc_watch(watch, told));
        }
        let (chosen, sizes, revision) = {
            let tables = self.view.read();
            let is_chosen = |name: &str| asked.shard_namespace.is_empty() || asked.shard_namespace == name;
            let chosen = tables.shards().namespaces().filter(|(name, _)| is_chosen(name));
            let chosen: Vec<_> = chosen.map(|(_, shards)| shards.clone()).collect();
            let sizes = tables.namespaces().after(None).filter(|namespace| is_chosen(&namespace.name));
            let size = |namespace: &meshkit_model::Namespace| wire::NamespaceSize {
                name: namespace.name.clone(),
                shards: namespace.shards,
            };
            (chosen, sizes.map(size).collect(), tables.revision())
        };
        let watch = self.gate.watch(filter, revision, "")?;
        let parts = Parts {
            chosen,
            at: (0, 0),
            owner: asked.owner,
            shards: 0,
            checksum: 0,
            sizes: Some(sizes),
            revision,
        };
        let parts = stream::iter(parts).map(Ok);
        Ok(parts.chain(self.gate.grpc_watch(watch, told)).boxed())
    }
}

/// Takes the record as the watch gives it.
#[allow(clippy::needless_pass_by_value, reason = "the watch gives records away")]
fn told(event: wire::WatchEvent, shard: Option<Shard>) -> Result<wire::WatchShardsResponse, Status> {
    let shard = shard.as_ref().map(shard_to_wire);
    Ok(wire::WatchShardsResponse { event: Some(event), shard, ..Default::default() })
}

/// A snapshot part by part, each made when the one before was sent.
struct Parts {
    chosen: Vec<NamespaceShards>,
    /// The namespace and the id that the next part begins with.
    at: (usize, u32),
    owner: String,
    shards: u64,
    checksum: u64,
    /// Taken by the end.
    sizes: Option<Vec<wire::NamespaceSize>>,
    revision: u64,
}

impl Iterator for Parts {
    type Item = wire::WatchShardsResponse;

    fn next(&mut self) -> Option<Self::Item> {
        let mut snapshot = Vec::new();
        while let Some(shards) = self.chosen.get(self.at.0) {
            let from_here: Vec<&Arc<Shard>> = shards.from(self.at.1).take(PART).collect();
            let Some(last) = from_here.last() else {
                self.at = (self.at.0 + 1, 0);
                continue;
            };
            self.at.1 = last.id.saturating_add(1);
            let wanted = |shard: &&Arc<Shard>| {
                self.owner.is_empty()
                    || shard.owner.as_ref().is_some_and(|owner| owner.as_str() == self.owner)
            };
            for shard in from_here.into_iter().filter(wanted) {
                self.checksum ^= shard.checksum();
                snapshot.push(shard_to_wire(shard));
            }
            self.shards += snapshot.len() as u64;
            if !snapshot.is_empty() {
                return Some(wire::WatchShardsResponse { snapshot, ..Default::default() });
            }
        }
        let namespaces = self.sizes.take()?;
        let (revision, shards, checksum) = (self.revision, self.shards, self.checksum);
        let complete = wire::SnapshotComplete { revision, shards, checksum, namespaces };
        Some(wire::WatchShardsResponse { complete: Some(complete), ..Default::default() })
    }
}
