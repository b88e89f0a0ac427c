//! What the registry does, whatever protocol asked for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshkit_api::{Caller, Context, etag_of_revision, invalid, now, page_size, start_of_page, store_status};
use meshkit_model::{Peer, PeerId, PeerSpec, PeerStatus, Timestamp};
use meshkit_store::{Cursor, Expect, Mutation, PeerQuery, StoreError, View, Write};
use relay_core::{Scope, Status};
use relay_transport::auth::Authenticator;

use crate::Settings;
use crate::metrics::RegistryMetrics;

/// How often a change is tried again when somebody else changed the same peer first.
const TRIES: usize = 4;

pub(crate) struct Registry {
    pub(crate) view: View,
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) settings: Settings,
    pub(crate) metrics: RegistryMetrics,
    /// Peers heard since the last sweep, which writes them down all at once: a flush to disk for
    /// each heartbeat would be the mesh's whole load. Bounded by the peers there are.
    heard: Mutex<HashMap<PeerId, Timestamp>>,
    /// Nobody could be heard before this process began, so silence counts from here.
    began: Timestamp,
}

/// A listing as REST and gRPC ask for it; empty texts mean any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) role: String,
    pub(crate) service: String,
    pub(crate) cluster: String,
    pub(crate) status: Option<PeerStatus>,
    pub(crate) limit: u32,
    pub(crate) cursor: String,
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
            auth: Arc::clone(&context.auth),
            settings,
            metrics: RegistryMetrics::new(&context.metrics),
            heard: Mutex::default(),
            began: now(),
        }
    }

    pub(crate) fn heartbeat_interval_ms(&self) -> u32 {
        u32::try_from(self.settings.heartbeat_interval.as_millis()).unwrap_or(u32::MAX)
    }

    /// The ETag of any listing right now.
    pub(crate) fn etag(&self) -> String {
        self.etag_at(self.view.revision())
    }

    pub(crate) fn etag_at(&self, revision: u64) -> String {
        etag_of_revision(self.view.identity(), revision)
    }

    pub(crate) fn list(&self, listing: Listing) -> Result<PeerPage, Status> {
        let filter = format!(
            "peers {:?} {:?} {:?} {:?}",
            listing.role, listing.service, listing.cluster, listing.status
        );
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let query = PeerQuery {
            after: start_of_page(&listing.cursor, &filter)?,
            limit: page_size(listing.limit)?,
            role: some(listing.role),
            service: some(listing.service),
            cluster: some(listing.cluster),
            status: listing.status,
        };
        let page = self.view.peers(&query);
        let last = page.items.last().filter(|_| page.more);
        let next_cursor = last.map(|peer| Cursor::new(&filter, peer.spec.id.as_str()).token());
        let mut peers = page.items;
        let heard = self.heard();
        for peer in &mut peers {
            overlay(peer, &heard);
        }
        drop(heard);
        Ok(PeerPage { peers, next_cursor: next_cursor.unwrap_or_default(), revision: page.revision })
    }

    pub(crate) fn get(&self, id: &str) -> Result<Peer, Status> {
        let id = PeerId::new(id).map_err(|error| invalid(&error))?;
        let mut peer = self.find(&id).ok_or_else(|| unknown(&id))?;
        overlay(&mut peer, &self.heard());
        Ok(peer)
    }

    /// Adds or renews a peer. Says also whether it is new.
    pub(crate) async fn register(&self, caller: &Caller, spec: PeerSpec) -> Result<(Peer, bool), Status> {
        spec.validate().map_err(|error| invalid(&error))?;
        may_speak_for(caller, &spec.id)?;
        for _ in 0..TRIES {
            let at = now();
            let known = self.find(&spec.id);
            let is_new = known.is_none();
            let (mut peer, expect) = match known {
                // It says what is written already: being heard is all there is to it.
                Some(known) if known.spec == spec && known.status == PeerStatus::Alive => {
                    self.note(&spec.id, at);
                    self.metrics.registrations.inc();
                    let mut known = known;
                    known.last_seen_at = known.last_seen_at.max(at);
                    return Ok((known, false));
                }
                Some(known) => {
                    let expect = Expect::Version(known.record_version);
                    let registered_at = known.registered_at;
                    (alive(spec.clone(), registered_at, at), expect)
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
        may_speak_for(caller, &id)?;
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

    fn note(&self, id: &PeerId, at: Timestamp) {
        let mut heard = self.heard();
        let latest = heard.entry(id.clone()).or_insert(at);
        *latest = (*latest).max(at);
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<PeerId, Timestamp>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &PeerId) -> Option<Peer> {
        self.view.get(id.as_str())
    }
}

fn alive(spec: PeerSpec, registered_at: Timestamp, at: Timestamp) -> Peer {
    Peer { spec, status: PeerStatus::Alive, registered_at, last_seen_at: at, record_version: 0 }
}

fn overlay(peer: &mut Peer, heard: &HashMap<PeerId, Timestamp>) {
    if let Some(at) = heard.get(&peer.spec.id) {
        peer.last_seen_at = peer.last_seen_at.max(*at);
    }
}

/// Whoever shows a certificate speaks for the peer that it names, unless it may operate the mesh.
fn may_speak_for(caller: &Caller, id: &PeerId) -> Result<(), Status> {
    match caller.spiffe_name() {
        Some(name) if name != id.as_str() && caller.scope() < Scope::Operate => {
            Err(Status::permission_denied(format!("`{}` may not speak for the peer `{id}`", caller.id()))
                .with_hint(format!(
                    "register as `{name}`, the name in the certificate, or call with mesh.operate"
                )))
        }
        _ => Ok(()),
    }
}

fn unknown(id: &PeerId) -> Status {
    Status::not_found(format!("there is no peer `{id}`"))
        .with_hint("`omnirelay mesh peers list` shows who is there; a peer that left registers again")
}

fn contended(id: &PeerId) -> Status {
    Status::new(relay_core::Code::Aborted, format!("the peer `{id}` keeps being changed by others"))
        .with_hint("try again; if it lasts, two processes use the same peer id")
}
