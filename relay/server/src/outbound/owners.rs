//! Calls that belong to the owner of a shard: they go there, follow it where it moves, and wait while nobody owns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::Response;
use meshkit_client::{Located, MeshClient, ShardMap, v1::OwnershipPhase};
use relay_client::Outgoing;
use relay_core::{Status, introspect};
use relay_transport::Body;
use tokio::sync::watch;

use crate::outbound::Outbound;
use crate::outbound::call::{Calling, Pending};
use crate::outbound::stats::Denied;
use crate::outbound::tries::{Outcome, Why};

/// How long a call waits for news of its shard before it asks again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// How long an answer may take before it is looked whether the shard is another's by now, and how long after that it may still come.
const LATE: Duration = Duration::from_millis(100);

/// Who owns the shards of a namespace. It follows the control plane for as long as it lives, and goes on answering
/// while that is away.
pub(super) struct Owners {
    namespace: String,
    map: ShardMap,
    waiting: AtomicU32,
    /// Ends the following.
    _alive: watch::Sender<()>,
}

/// A place among the calls that wait for an owner.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Owners {
    pub(super) fn follow(client: &MeshClient, namespace: &str) -> Arc<Self> {
        let (alive, mut ended) = watch::channel(());
        let (map, client, wanted) = (ShardMap::new(), client.clone(), namespace.to_owned());
        let followed = map.clone();
        omnirelay_runtime::spawn("outbound-owners", async move {
            tokio::select! {
                () = followed.keep(&client, &wanted) => {}
                _dropped = ended.changed() => {}
            }
        });
        let waiting = AtomicU32::new(0);
        Arc::new(Self { namespace: namespace.to_owned(), map, waiting, _alive: alive })
    }

    pub(super) fn is_of(&self, namespace: &str) -> bool {
        self.namespace == namespace
    }

    pub(super) fn introspect(&self) -> introspect::Shards {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        introspect::Shards {
            namespace: self.namespace.clone(),
            shards: self.map.shards(&self.namespace).unwrap_or_default(),
            version: self.map.version(),
            age_ms: self.map.age().map(millis),
        }
    }

    /// A place among at most `most` that wait.
    fn wait(&self, most: u32) -> Option<Waiting<'_>> {
        let place = Waiting(&self.waiting);
        (self.waiting.fetch_add(1, Relaxed) < most).then_some(place)
    }

    /// Waits until the shard of a key is certainly another's than `from`: a hand-over ends with the last answer of the owner before, so
    /// one that owes an answer then was given up.
    async fn moved_on(&self, hash: u64, from: &str) {
        tokio::time::sleep(LATE).await;
        let mut news = self.map.versions();
        loop {
            news.mark_unchanged();
            let located = self.map.lookup_hash(&self.namespace, hash);
            if located.and_then(|located| located.owner).is_some_and(|owner| *owner != *from) {
                return tokio::time::sleep(LATE).await;
            }
            if news.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Who is to be asked about a key, or why nobody can be.
    fn owner(&self, hash: u64) -> Result<Arc<str>, Status> {
        if self.map.version() == 0 {
            return Err(Status::unavailable("the control plane has not told yet who owns what").with_hint(
                "look whether `mesh.endpoint` can be reached, and whether the relay may read shards",
            ));
        }
        let located = self.map.lookup_hash(&self.namespace, hash).ok_or_else(|| {
            Status::unavailable(format!("the mesh has no namespace `{}`", self.namespace)).with_hint(
                "make it with `omnirelay mesh namespaces create`, or correct the outbound's `mesh.namespace`",
            )
        })?;
        whom(&located).cloned().ok_or_else(|| {
            Status::unavailable(format!("nobody owns shard {} of `{}`", located.shard, self.namespace))
                .with_hint("look at `omnirelay mesh shards list` and at the service's peers")
        })
    }
}

/// An owner that gives its shard away takes nothing new; who comes after it does, or lets calls wait for a moment.
fn whom(located: &Located) -> Option<&Arc<str>> {
    let next = located.successor.as_ref().filter(|_| located.phase == OwnershipPhase::Draining);
    next.or(located.owner.as_ref())
}

/// Why a call was not answered for good yet.
enum Unmet {
    Tried(Outcome),
    Nobody(Status),
}

impl Unmet {
    fn into_result(self) -> Result<Response<Body>, Status> {
        match self {
            Self::Tried(outcome) => outcome.into_result(),
            Self::Nobody(status) => Err(status),
        }
    }
}

impl Outbound {
    /// Asks the owner of the key's shard. Where it says that it is none any more, or cannot be reached, the call did
    /// nothing: it waits for the next owner, until its deadline.
    ///
    /// # Errors
    /// Nobody owns the shard in time, and what the policy and the tries say.
    pub(super) async fn try_owner<'a>(
        &'a self,
        owners: &'a Owners,
        hash: u64,
        calling: &mut Calling<'a>,
        outgoing: &mut Outgoing,
    ) -> Result<Response<Body>, Status> {
        let deadline = calling.deadline();
        let tries = calling.tries();
        let mut news = owners.map.versions();
        let (mut pause, mut retries) = (FIRST_PAUSE, 0);
        let mut _retrying;
        let mut _waiting = None;
        loop {
            news.mark_unchanged();
            let unmet = match self.enter_owner(owners, hash) {
                Err(status) => Unmet::Nobody(status),
                Ok((id, owner)) => {
                    let outcome = tokio::select! {
                        outcome = self.ask_one(owner, calling, outgoing) => outcome?,
                        () = owners.moved_on(hash, &id), if tries.idempotent && outgoing.whole().is_some() => {
                            self.stats.retried(Why::StaleOwner);
                            continue;
                        }
                    };
                    let why = match &outcome {
                        Outcome::Answer(_) => return outcome.into_result(),
                        Outcome::StaleOwner(_) => Some(Why::StaleOwner),
                        other if other.is_unsent() => Some(Why::Unsent),
                        other => other.retry_reason(tries),
                    };
                    let Some(why) = why else { return outcome.into_result() };
                    if !matches!(why, Why::StaleOwner | Why::Unsent) {
                        let Some(place) = self.pay(tries, &mut retries).await else {
                            return outcome.into_result();
                        };
                        _retrying = place;
                    }
                    if !outgoing.rewind() {
                        return outcome.into_result();
                    }
                    self.stats.retried(why);
                    Unmet::Tried(outcome)
                }
            };
            if _waiting.is_none() {
                _waiting = owners.wait(self.max_pending);
                if _waiting.is_none() {
                    self.stats.denied(Denied::Full);
                    return unmet.into_result();
                }
            }
            let told = tokio::time::timeout(pause, news.changed());
            if tokio::time::timeout_at(deadline.into(), told).await.is_err() || Instant::now() >= deadline {
                self.stats.denied(Denied::NoOwner);
                return unmet.into_result();
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// A place among the calls of the key's owner.
    fn enter_owner(&self, owners: &Owners, hash: u64) -> Result<(Arc<str>, Pending), Status> {
        let owner = owners.owner(hash)?;
        let peers = self.fleet.peers();
        let peer = peers.all.iter().find(|peer| peer.spec.id.as_deref() == Some(&*owner));
        let peer = peer.ok_or_else(|| {
            Status::unavailable(format!(
                "the owner `{owner}` of the key's shard is no peer that can be called"
            ))
            .with_hint("look at it with `omnirelay mesh peers get`")
        })?;
        let place = Pending::enter(peer, self.max_pending).ok_or_else(|| {
            Status::unavailable(format!("the owner `{owner}` has {} calls in flight", self.max_pending))
                .with_hint("try again later, or raise `breaker.max_pending`")
        })?;
        Ok((owner, place))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use meshkit_client::v1;

    use super::*;

    fn owned_by(owner: &str, revision: u64) -> Vec<v1::WatchShardsResponse> {
        let shard = v1::Shard {
            shard_namespace: "stock".to_owned(),
            owner: owner.to_owned(),
            record_version: revision,
            phase: OwnershipPhase::Active.into(),
            ..v1::Shard::default()
        };
        let namespaces = vec![v1::NamespaceSize { name: "stock".to_owned(), shards: 1 }];
        let complete = v1::SnapshotComplete { revision, shards: 1, checksum: 0, namespaces };
        let part = v1::WatchShardsResponse { snapshot: vec![shard], ..Default::default() };
        vec![part, v1::WatchShardsResponse { complete: Some(complete), ..Default::default() }]
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_until_the_shard_is_certainly_anothers() {
        let (map, (alive, _)) = (ShardMap::new(), watch::channel(()));
        let owners = Owners { namespace: "stock".to_owned(), map, waiting: AtomicU32::new(0), _alive: alive };
        let tell = |messages: Vec<v1::WatchShardsResponse>| {
            messages.iter().for_each(|message| owners.map.apply(message).unwrap());
        };
        tell(owned_by("a", 1));
        let mut moved = std::pin::pin!(owners.moved_on(7, "a"));
        assert!(tokio::time::timeout(LATE * 100, &mut moved).await.is_err(), "it owns the shard");
        tell(owned_by("", 2));
        assert!(tokio::time::timeout(LATE * 100, &mut moved).await.is_err(), "nobody else does yet");
        tell(owned_by("b", 3));
        assert!(tokio::time::timeout(LATE * 2, &mut moved).await.is_ok());
    }

    fn located(owner: Option<&str>, successor: Option<&str>, phase: OwnershipPhase) -> Located {
        Located {
            shard: 1,
            owner: owner.map(Into::into),
            successor: successor.map(Into::into),
            phase,
            fence: 1,
        }
    }

    #[test]
    fn who_is_asked_may_take_the_call() {
        let asked =
            |owner, successor, phase| whom(&located(owner, successor, phase)).map(ToString::to_string);
        assert_eq!(asked(Some("a"), None, OwnershipPhase::Active).as_deref(), Some("a"));
        assert_eq!(asked(Some("a"), Some("b"), OwnershipPhase::Active).as_deref(), Some("a"));
        assert_eq!(asked(Some("a"), Some("b"), OwnershipPhase::Draining).as_deref(), Some("b"));
        assert_eq!(asked(Some("a"), None, OwnershipPhase::Draining).as_deref(), Some("a"));
        assert_eq!(asked(None, None, OwnershipPhase::Unspecified), None);
    }
}
