//! What the registry does, whatever protocol asked for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshkit_api::{Caller, Context, Gate, Listing, etag_of_revision, invalid, now, store_status};
use meshkit_leadership::{Lead, Leadership};
use meshkit_model::{
    ConfigDocument, DrainProgress, LabelPatch, LeaderScope, Liveness, Peer, PeerId, PeerSpec, PeerStatus,
    RegistryTuning, Timestamp,
};
use meshkit_store::{Expect, Mutation, Rows as _, StoreError, Tables, View, Write};
use relay_core::Status;

use crate::Settings;
use crate::metrics::RegistryMetrics;

/// How often a change is tried again when somebody else changed the same peer first.
const TRIES: usize = 4;

pub(crate) struct Registry {
    pub(crate) view: View,
    leadership: Leadership,
    pub(crate) gate: Gate,
    pub(crate) settings: Settings,
    pub(crate) metrics: RegistryMetrics,
    /// Peers heard since the last sweep, which writes them down all at once: a flush to disk for
    /// each heartbeat would be the mesh's whole load. Bounded by the peers there are.
    heard: Mutex<HashMap<PeerId, Timestamp>>,
    /// Nobody could be heard before this process began, so silence counts from here.
    began: Timestamp,
}

pub(crate) struct PeerPage {
    pub(crate) peers: Vec<Peer>,
    pub(crate) next_cursor: String,
    pub(crate) revision: u64,
}

impl Registry {
    pub(crate) fn new(context: &Context, settings: Settings) -> Self {
        Self {
            view: context.view.clone(),
            leadership: context.leadership.clone(),
            gate: context.gate.clone(),
            settings,
            metrics: RegistryMetrics::new(&context.metrics),
            heard: Mutex::default(),
            began: now(),
        }
    }

    /// How often a peer is asked to be heard: the mesh's configuration counts before the node's.
    pub(crate) fn heartbeat_interval_ms(&self) -> u32 {
        let own = || u32::try_from(self.settings.heartbeat_interval.as_millis()).unwrap_or(u32::MAX);
        self.tuning().map_or_else(own, |tuning| tuning.heartbeat_interval_ms)
    }

    /// What is made of silence: the mesh's configuration counts before the node's.
    pub(crate) fn liveness(&self) -> Liveness {
        self.tuning().map_or(self.settings.liveness, |tuning| tuning.liveness())
    }

    fn tuning(&self) -> Option<RegistryTuning> {
        let tables = self.view.read();
        tables.config().get(ConfigDocument::PRESENT).and_then(|document| document.content.registry)
    }

    /// The ETag of any listing right now.
    pub(crate) fn etag(&self) -> String {
        etag_of_revision(self.view.identity(), self.view.settled())
    }

    pub(crate) fn list(&self, listing: &Listing) -> Result<PeerPage, Status> {
        let (page, revision) = {
            let tables = self.view.read();
            let page = listing.page::<Peer, _>("peers", tables.peers().iter())?;
            let peers: Vec<Peer> = page.records.into_iter().map(|peer| seen(peer, &tables)).collect();
            ((peers, page.next_cursor), tables.revision())
        };
        let (mut peers, next_cursor) = page;
        let heard = self.heard();
        for peer in &mut peers {
            overlay(peer, &heard);
        }
        drop(heard);
        Ok(PeerPage { peers, next_cursor, revision })
    }

    pub(crate) fn get(&self, id: &str) -> Result<Peer, Status> {
        let id = PeerId::new(id).map_err(|error| invalid(&error))?;
        let mut peer = {
            let tables = self.view.read();
            tables.peers().get(id.as_str()).map(|peer| seen(peer, &tables)).ok_or_else(|| unknown(&id))?
        };
        overlay(&mut peer, &self.heard());
        Ok(peer)
    }

    /// Adds or renews a peer. Says also whether it is new.
    pub(crate) async fn register(&self, caller: &Caller, spec: PeerSpec) -> Result<(Peer, bool), Status> {
        spec.validate().map_err(|error| invalid(&error))?;
        caller.may_speak_for(spec.id.as_str())?;
        for _ in 0..TRIES {
            let at = now();
            let known = self.find(&spec.id);
            let is_new = known.is_none();
            let (mut peer, expect) = match known {
                // It says what is written already: being heard is all there is to it.
                Some(known) if known.spec == spec && known.status == PeerStatus::Alive && !known.leaving => {
                    self.note(&spec.id, at);
                    self.metrics.registrations.inc();
                    let mut known = known;
                    known.last_seen_at = known.last_seen_at.max(at);
                    return Ok((known, false));
                }
                Some(known) => {
                    let expect = Expect::Version(known.record_version);
                    let registered_at = known.registered_at;
                    let peer = alive(spec.clone(), registered_at, at);
                    // What an operator decided outlives the peer's process.
                    (Peer { hold: known.hold, label_patch: known.label_patch, ..peer }, expect)
                }
                None => (alive(spec.clone(), at, at), Expect::Absent),
            };
            match self.put(caller.id(), "peer.register", "registered", &peer, expect).await {
                Ok(version) => {
                    self.note(&spec.id, at);
                    self.metrics.registrations.inc();
                    peer.record_version = version;
                    return Ok((peer, is_new));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(store_status(&error)),
            }
        }
        Err(contended(&spec.id))
    }

    /// Notes that a peer lives, or that it leaves.
    pub(crate) async fn heartbeat(&self, caller: &Caller, id: &str, leaving: bool) -> Result<(), Status> {
        let id = PeerId::new(id).map_err(|error| invalid(&error))?;
        caller.may_speak_for(id.as_str())?;
        for _ in 0..TRIES {
            let at = now();
            let known = self.find(&id);
            let Some(mut peer) = known.filter(|peer| peer.status != PeerStatus::Left) else {
                return Err(unknown(&id));
            };
            self.note(&id, at);
            let (status, action, reason) = match leaving {
                true => (PeerStatus::Left, "peer.leave", "said goodbye"),
                false => (PeerStatus::Alive, "peer.heartbeat", "heard again"),
            };
            if peer.status == status {
                self.metrics.heartbeats.inc();
                return Ok(());
            }
            peer.status = status;
            peer.last_seen_at = peer.last_seen_at.max(at);
            let expect = Expect::Version(peer.record_version);
            match self.put(caller.id(), action, reason, &peer, expect).await {
                Ok(_) => {
                    self.metrics.heartbeats.inc();
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(store_status(&error)),
            }
        }
        Err(contended(&id))
    }

    /// The right to judge peers for the mesh, where this node has it now.
    pub(crate) fn leads(&self) -> Option<Lead> {
        self.leadership.lead(&LeaderScope::module("registry").ok()?)
    }

    /// Writes what was decided of a peer for the mesh, as long as nobody else decides by then.
    pub(crate) async fn decree(
        &self,
        lead: &Lead,
        action: &str,
        reason: &str,
        peer: &Peer,
    ) -> Result<(), StoreError> {
        let expect = match peer.record_version {
            0 => Expect::Absent,
            version => Expect::Version(version),
        };
        let write = Write::put(peer, expect)?;
        let reason = format!("{reason} (leading {} under fence {})", lead.scope(), lead.fence());
        let mutation = Mutation::new("meshkitd", action, now()).reason(reason);
        self.view.commit(mutation.write(lead.guard()).write(write)).await.map(drop)
    }

    /// Writes one peer and gives its new version.
    pub(crate) async fn put(
        &self,
        actor: &str,
        action: &str,
        reason: &str,
        peer: &Peer,
        expect: Expect,
    ) -> Result<u64, StoreError> {
        let write = Write::put(peer, expect)?;
        let mutation = Mutation::new(actor, action, now()).reason(reason).write(write);
        let committed = self.view.commit(mutation).await?;
        Ok(committed.versions.first().copied().unwrap_or_default())
    }

    /// When a peer was heard last, as far as this process can tell.
    pub(crate) fn heard_at(&self, peer: &Peer) -> Timestamp {
        let heard = self.heard().get(&peer.spec.id).copied();
        peer.last_seen_at.max(self.began).max(heard.unwrap_or(self.began))
    }

    /// Takes what was heard since the last time, for writing it down.
    pub(crate) fn take_heard(&self) -> HashMap<PeerId, Timestamp> {
        std::mem::take(&mut *self.heard())
    }

    /// Takes back what could not be written down.
    pub(crate) fn give_back(&self, heard: Vec<(PeerId, Timestamp)>) {
        for (id, at) in heard {
            self.note(&id, at);
        }
    }

    pub(crate) fn note(&self, id: &PeerId, at: Timestamp) {
        let mut heard = self.heard();
        let latest = heard.entry(id.clone()).or_insert(at);
        *latest = (*latest).max(at);
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<PeerId, Timestamp>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: &PeerId) -> Option<Peer> {
        self.view.get(id.as_str())
    }
}

pub(crate) fn alive(spec: PeerSpec, registered_at: Timestamp, at: Timestamp) -> Peer {
    Peer {
        spec,
        status: PeerStatus::Alive,
        registered_at,
        last_seen_at: at,
        hold: None,
        leaving: false,
        label_patch: LabelPatch::new(),
        record_version: 0,
    }
}

/// A peer as everybody sees it: with the operator's labels, and how far its drain has come.
pub(crate) fn seen(peer: &Peer, tables: &Tables) -> Peer {
    let mut peer = peer.clone().seen();
    if let Some(hold) = &mut peer.hold
        && !hold.state.keeps_shards()
    {
        let remaining = tables.shards().count_by_owner(peer.spec.id.as_str());
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        hold.progress = Some(DrainProgress::new(hold.shards_at_start, remaining));
    }
    peer
}

fn overlay(peer: &mut Peer, heard: &HashMap<PeerId, Timestamp>) {
    if let Some(at) = heard.get(&peer.spec.id) {
        peer.last_seen_at = peer.last_seen_at.max(*at);
    }
}

pub(crate) fn unknown(id: &PeerId) -> Status {
    Status::not_found(format!("there is no peer `{id}`"))
        .with_hint("`omnirelay mesh peers list` shows who is there; a peer that left registers again")
}

fn contended(id: &PeerId) -> Status {
    Status::new(relay_core::Code::Aborted, format!("the peer `{id}` keeps being changed by others"))
        .with_hint("try again; if it lasts, two processes use the same peer id")
}
