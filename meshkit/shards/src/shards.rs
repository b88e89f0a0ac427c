//! What the module answers, whatever protocol asked for it.

use std::sync::Arc;

use meshkit_api::{Context, Gate, etag_of_revision, invalid, page_size, start_of_page};
use meshkit_model::placement::shard_of_key;
use meshkit_model::{Invalid, Namespace, Shard, ShardStatus};
use meshkit_store::{Cursor, Rows as _, ShardQuery, View};
use relay_core::Status;

use crate::owners::Owners;

/// The longest key of a lookup in bytes.
const MAX_KEY: usize = 1_024;

pub(crate) struct Shards {
    pub(crate) view: View,
    pub(crate) gate: Gate,
    pub(crate) owners: Arc<Owners>,
}

/// A listing as REST and gRPC ask for it; empty texts mean any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) namespace: String,
    pub(crate) owner: String,
    pub(crate) status: Option<ShardStatus>,
    pub(crate) limit: u32,
    pub(crate) cursor: String,
}

pub(crate) struct ShardPage {
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) next_cursor: String,
    pub(crate) revision: u64,
}

impl Shards {
    pub(crate) fn new(context: &Context, owners: Arc<Owners>) -> Self {
        Self { view: context.view.clone(), gate: context.gate.clone(), owners }
    }

    /// The ETag of any listing right now.
    pub(crate) fn etag(&self) -> String {
        self.etag_at(self.view.revision())
    }

    pub(crate) fn etag_at(&self, revision: u64) -> String {
        etag_of_revision(self.view.identity(), revision)
    }

    pub(crate) fn list(&self, listing: Listing) -> Result<ShardPage, Status> {
        let filter = format!("shards {:?} {:?} {:?}", listing.namespace, listing.owner, listing.status);
        let after = start_of_page(&listing.cursor, &filter)?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let query = ShardQuery {
            after: after.as_deref().map(place).transpose()?,
            limit: page_size(listing.limit)?,
            namespace: some(listing.namespace),
            owner: some(listing.owner),
            status: listing.status,
        };
        let page = self.view.shards(&query);
        let last = page.items.last().filter(|_| page.more);
        let next =
            last.map(|shard| Cursor::new(&filter, format!("{}/{}", shard.namespace, shard.id)).token());
        Ok(ShardPage { next_cursor: next.unwrap_or_default(), shards: page.items, revision: page.revision })
    }

    pub(crate) fn lookup(&self, namespace: &str, key: &[u8]) -> Result<Arc<Shard>, Status> {
        if namespace.is_empty() {
            return Err(invalid(&Invalid::new("namespace", "is empty")));
        }
        if key.len() > MAX_KEY {
            let problem = format!("has {} bytes; at most {MAX_KEY} are allowed", key.len());
            return Err(invalid(&Invalid::new("key", problem)));
        }
        let tables = self.view.read();
        let found = tables.namespaces().get(namespace).ok_or_else(|| no_namespace(namespace))?;
        let id = shard_of_key(key, found.shards);
        tables.shards().at(namespace, id).cloned().ok_or_else(|| {
            Status::unavailable(format!("shard {id} of `{namespace}` is not made yet"))
                .with_hint("meshkitd has just started; try again")
        })
    }

    pub(crate) fn get(&self, namespace: &str, id: u32) -> Result<Arc<Shard>, Status> {
        let tables = self.view.read();
        let known = tables.namespaces().get(namespace).ok_or_else(|| no_namespace(namespace))?;
        tables.shards().at(namespace, id).cloned().ok_or_else(|| no_shard(known, id))
    }
}

pub(crate) fn no_namespace(name: &str) -> Status {
    Status::not_found(format!("there is no namespace `{name}`"))
        .with_hint("`omnirelay mesh namespaces list` shows which there are")
}

pub(crate) fn no_shard(namespace: &Namespace, id: u32) -> Status {
    let (name, last) = (&namespace.name, namespace.shards.saturating_sub(1));
    Status::not_found(format!("`{name}` has no shard {id}"))
        .with_hint(format!("they are numbered 0 to {last}"))
}

/// A position that a cursor held.
fn place(position: &str) -> Result<(String, u32), Status> {
    position
        .rsplit_once('/')
        .and_then(|(namespace, id)| Some((namespace.to_owned(), id.parse().ok()?)))
        .ok_or_else(|| invalid(&Invalid::new("cursor", "is not one that this listing gave")))
}
