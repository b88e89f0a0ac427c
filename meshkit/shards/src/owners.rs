//! The peers that own or can own shards: who they are, what they hold and what they carry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshkit_api::{Caller, invalid, now, store_status, valid};
use meshkit_model::lifecycle::{Heard, Said, hear};
use meshkit_model::placement::{Node, Takes};
use meshkit_model::{Handover, HoldState, Invalid, Kind, Namespace, Peer, PeerId, PeerStatus, Shard};
use meshkit_store::{Expect, Holds, Mutation, NamespaceShards, Rows as _, StoreError, Tables, View, Write};
use relay_core::{Code, Status};
use tokio::time::Instant;

use crate::lease::Leases;

/// The label that says how much a peer takes beside others.
const WEIGHT: &str = "shards.weight";
/// Words and loads of one report.
pub(crate) const MAX_REPORTED: usize = 1_000;
/// How often a report is taken anew where somebody else changed a shard first.
const TRIES: usize = 4;

/// What is known of owners.
pub(crate) struct Owners {
    pub(crate) view: View,
    leases: Mutex<Leases>,
    /// What each peer reported last of its shards, in calls a second. Bounded by the peers there are.
    loads: Mutex<HashMap<PeerId, f64>>,
    began: Instant,
}

/// A peer's report, checked.
pub(crate) struct Report {
    pub(crate) peer: PeerId,
    pub(crate) words: Vec<(String, u32, Said)>,
    /// In calls a second; none where it tells of no load.
    pub(crate) load: Option<f64>,
    pub(crate) leaving: bool,
}

/// Who can own a namespace's shards, and who may be serving some.
pub(crate) struct Standing {
    pub(crate) nodes: Vec<Node>,
    pub(crate) serving: BTreeSet<PeerId>,
}

/// What an owner has.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owned {
    pub(crate) owner: String,
    pub(crate) zone: String,
    pub(crate) shards: u32,
    pub(crate) active: u32,
    pub(crate) incoming: u32,
    pub(crate) calls_per_second: f64,
}

impl Owners {
    pub(crate) fn new(view: View) -> Self {
        Self { view, leases: Mutex::default(), loads: Mutex::default(), began: Instant::now() }
    }

    /// Whether any namespace is handed over as owners acknowledge.
    pub(crate) fn are_acknowledged(&self) -> bool {
        let tables = self.view.read();
        tables.namespaces().after(None).any(|namespace| namespace.handover == Handover::Acknowledged)
    }

    /// Learns which leases other processes renewed. Where that cannot be known nobody is judged.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        if !self.view.is_shared() || !self.are_acknowledged() {
            return Ok(());
        }
        self.view.hear_others().await?;
        let (mut leases, now) = (self.leases(), self.now());
        let tables = self.view.read();
        for peer in tables.peers().iter() {
            leases.look(&peer.spec.id, peer.last_seen_at, now);
        }
        leases.retain(|peer| tables.peers().get(peer.as_str()).is_some());
        Ok(())
    }

    /// Who can own the shards of a namespace, by id, and whose leases run.
    pub(crate) fn standing(&self, namespace: &Namespace, tables: &Tables) -> Standing {
        let (leases, now) = (self.leases(), self.now());
        let acknowledged = namespace.handover == Handover::Acknowledged;
        let owns = |peer: &Peer| tables.shards().count_by_owner(peer.spec.id.as_str()) > 0;
        let (mut nodes, mut serving) = (Vec::new(), BTreeSet::new());
        for peer in tables.peers().iter().filter(|peer| peer.spec.service == namespace.service) {
            let has_left = peer.status == PeerStatus::Left;
            let runs = leases.runs(&peer.spec.id, now) || (Leases::is_early(now) && owns(peer));
            if acknowledged && runs && !has_left {
                serving.insert(peer.spec.id.clone());
            }
            if peer.status.may_own() && (runs || !acknowledged) {
                nodes.push(node(peer));
            }
        }
        Standing { nodes, serving }
    }

    /// Takes a report: renews the lease and carries out the words that count. Gives the places of those.
    pub(crate) async fn report(&self, caller: &Caller, report: &Report) -> Result<Vec<u32>, Status> {
        let id = &report.peer;
        caller.may_speak_for(id.as_str())?;
        let peer: Peer =
            self.view.get(id.as_str()).filter(|peer: &Peer| peer.status != PeerStatus::Left).ok_or_else(
                || Status::not_found(format!("there is no peer `{id}`")).with_hint("register it first"),
            )?;
        if report.leaving && !peer.leaving {
            self.leave(caller, peer).await?;
        }
        // Neither counts for the owner before both are answered.
        let (renewed, heard) = tokio::join!(self.renew(id), self.hear(caller, report));
        renewed?;
        if let Some(load) = report.load {
            self.loads().insert(id.clone(), load);
        }
        heard
    }

    async fn renew(&self, id: &PeerId) -> Result<(), Status> {
        // Others have to see it before the owner counts on it.
        if self.view.is_shared() {
            let heard = vec![(id.clone(), now())];
            self.view.touch(heard).await.map_err(|error| store_status(&error))?;
        }
        self.leases().renew(id, self.now());
        Ok(())
    }

    async fn leave(&self, caller: &Caller, peer: Peer) -> Result<(), Status> {
        let expect = Expect::Version(peer.record_version);
        let write = Write::put(&Peer { leaving: true, ..peer }, expect).map_err(|error| invalid(&error))?;
        let mutation = Mutation::new(caller.id(), "peer.leaving", now()).reason("it is about to end");
        match self.view.commit(mutation.write(write)).await {
            // It changed in this moment; the next report says it again.
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(store_status(&error)),
        }
    }

    async fn hear(&self, caller: &Caller, report: &Report) -> Result<Vec<u32>, Status> {
        for _ in 0..TRIES {
            let mut mutation =
                Mutation::new(caller.id(), "shard.acknowledge", now()).reason("its owner said so");
            let mut counted = Vec::new();
            {
                let tables = self.view.read();
                for (at, (namespace, id, said)) in (0_u32..).zip(&report.words) {
                    let listens = |known: &Namespace| known.handover == Handover::Acknowledged;
                    if !tables.namespaces().get(namespace).is_some_and(listens) {
                        continue;
                    }
                    let known = tables.shards().at(namespace, *id);
                    let expect = Expect::Version(said.version);
                    let write = match known.and_then(|shard| hear(shard, said, now())) {
                        None => continue,
                        Some(Heard::Changes(shard)) => valid(Write::put_fenced(&*shard, expect, said.fence))?,
                        // What is in memory may be old; the store's word counts.
                        Some(Heard::Stands) => {
                            let key = Shard::key_of(namespace, *id);
                            Write::guard(Kind::Shard, key, Holds::Version(said.version))
                        }
                    };
                    if !mutation.writes.iter().any(|other| other.key() == write.key()) {
                        mutation = mutation.write(write);
                        counted.push(at);
                    }
                }
            }
            if counted.is_empty() {
                return Ok(counted);
            }
            match self.view.commit(mutation).await {
                Ok(_) => return Ok(counted),
                Err(StoreError::Conflict { .. } | StoreError::StaleFence { .. }) => {}
                Err(error) => return Err(store_status(&error)),
            }
        }
        Err(Status::new(Code::Aborted, "the shards keep being changed by others").with_hint("report again"))
    }

    /// What each owner has, by id.
    pub(crate) fn list(&self, namespace: &str) -> (Vec<Owned>, u64) {
        let tables = self.view.read();
        let chosen: Vec<_> = tables
            .shards()
            .namespaces()
            .filter(|(name, _)| namespace.is_empty() || ***name == *namespace)
            .map(|(_, shards)| shards.clone())
            .collect();
        let revision = tables.revision();
        // A million shards are counted without keeping a writer waiting.
        drop(tables);
        let mut owned: BTreeMap<&str, Owned> = BTreeMap::new();
        for shard in chosen.iter().flat_map(NamespaceShards::iter) {
            let of = owned.entry(shard.owner.as_ref().map_or("", PeerId::as_str)).or_default();
            of.shards += 1;
            of.active += u32::from(shard.leader().is_some());
            if let Some(next) = &shard.successor {
                owned.entry(next.peer.as_str()).or_default().incoming += 1;
            }
        }
        let (tables, loads) = (self.view.read(), self.loads());
        let named = owned.into_iter().map(|(owner, owned)| Owned {
            owner: owner.to_owned(),
            zone: tables.peers().get(owner).map(|peer| peer.spec.zone.clone()).unwrap_or_default(),
            calls_per_second: PeerId::new(owner).ok().and_then(|id| loads.get(&id).copied()).unwrap_or(0.0),
            ..owned
        });
        (named.collect(), revision)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<PeerId, f64>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer as placement sees it.
fn node(peer: &Peer) -> Node {
    let takes = match peer.hold_state() {
        _ if peer.leaving => Takes::Leave,
        None => Takes::Share,
        Some(HoldState::Cordoned) => Takes::Nothing,
        Some(HoldState::Draining | HoldState::Drained) => Takes::Leave,
    };
    let weight = peer.label(WEIGHT).and_then(|weight| weight.parse().ok()).unwrap_or(1);
    Node { id: peer.spec.id.clone(), zone: peer.spec.zone.clone(), weight: clamp(weight), takes }
}

/// The weight that a peer counts with: 1 to 1000.
pub(crate) fn clamp(weight: u32) -> u32 {
    weight.clamp(1, 1_000)
}

/// Checks the shape of what a report says of one shard.
pub(crate) fn bounded(field: &str, count: usize) -> Result<(), Status> {
    if count > MAX_REPORTED {
        let problem = format!("has {count} entries; at most {MAX_REPORTED} are allowed in one report");
        return Err(invalid(&Invalid::new(field, problem)));
    }
    Ok(())
}

/// The key of a shard as audits name it.
pub(crate) fn name(namespace: &str, id: u32) -> String {
    format!("shard/{}", Shard::key_of(namespace, id))
}
