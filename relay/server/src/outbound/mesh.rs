//! Peers of a service, as the control plane tells them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshkit_client::{MeshClient, PeerChange, PeerFilter, v1};
use omnirelay_runtime::Drain;
use tokio::sync::watch;
use v1::PeerStatus;

use crate::outbound::source::{Following, PeerSpec, RouteSource, Snapshot};

/// How long to wait after the control plane has refused the watch: somebody has to change a rule first.
const REFUSED: Duration = Duration::from_secs(5);

/// Peers that are registered for a service.
pub(super) struct Mesh {
    client: MeshClient,
    service: String,
}

impl Mesh {
    pub(super) fn new(client: MeshClient, service: &str) -> Self {
        Self { client, service: service.to_owned() }
    }

    /// Publishes who can be called, as often as that changes.
    async fn run(self, snapshots: watch::Sender<Snapshot>) {
        let filter = PeerFilter { service: self.service.clone(), ..PeerFilter::default() };
        loop {
            let mut watch = self.client.watch_peers(filter.clone());
            let mut known = BTreeMap::new();
            let error = loop {
                match watch.next().await {
                    Ok(change) => apply(&mut known, change),
                    Err(error) => break error,
                }
                // The first is told although it may be what was known before: it is known now.
                snapshots.send_replace(known.values().cloned().collect());
            };
            tracing::warn!(service = self.service, %error, "the mesh does not tell who the peers are");
            tokio::time::sleep(REFUSED).await;
        }
    }
}

fn apply(known: &mut BTreeMap<String, PeerSpec>, change: PeerChange) {
    let put = |known: &mut BTreeMap<String, PeerSpec>, peer: v1::Peer| {
        match spec(&peer) {
            Some(spec) => known.insert(peer.id, spec),
            None => known.remove(&peer.id),
        };
    };
    match change {
        PeerChange::Listed(peers) => {
            known.clear();
            peers.into_iter().for_each(|peer| put(known, peer));
        }
        PeerChange::Put(peer) => put(known, *peer),
        PeerChange::Deleted(id) => {
            known.remove(&id);
        }
    }
}

/// A peer that can be called; none for one that is away or says no address. What a peer says of itself never leads to
/// this machine's own socket files.
fn spec(peer: &v1::Peer) -> Option<PeerSpec> {
    let lives = matches!(peer.status(), PeerStatus::Alive | PeerStatus::Suspect);
    let url = &peer.endpoints.first().filter(|one| lives && one.url.starts_with("https://"))?.url;
    Some(PeerSpec {
        url: url.clone(),
        server_name: None,
        weight: 1,
        zone: peer.zone.clone(),
        id: Some(peer.id.as_str().into()),
    })
}

impl RouteSource for Mesh {
    fn first(&self) -> Snapshot {
        Arc::default()
    }

    fn follow(self: Box<Self>, snapshots: watch::Sender<Snapshot>, drain: Drain) -> Following {
        Box::pin(async move {
            let closed = snapshots.clone();
            tokio::select! {
                () = self.run(snapshots) => {}
                () = closed.closed() => {}
                () = drain.started() => {}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: &str, status: PeerStatus, urls: &[&str]) -> v1::Peer {
        let endpoint = |url: &&str| v1::Endpoint { url: (*url).to_owned(), protocols: Vec::new() };
        v1::Peer {
            id: id.to_owned(),
            status: status.into(),
            endpoints: urls.iter().map(endpoint).collect(),
            ..v1::Peer::default()
        }
    }

    #[test]
    fn who_lives_and_says_where_is_called() {
        let mut known = BTreeMap::new();
        apply(
            &mut known,
            PeerChange::Listed(vec![
                peer("a", PeerStatus::Alive, &["https://a:1", "https://a:2"]),
                peer("b", PeerStatus::Suspect, &["https://b:1"]),
                peer("c", PeerStatus::Dead, &["https://c:1"]),
                peer("d", PeerStatus::Alive, &[]),
            ]),
        );
        let urls = |known: &BTreeMap<String, PeerSpec>| {
            known.values().map(|spec| spec.url.clone()).collect::<Vec<_>>()
        };
        assert_eq!(urls(&known), ["https://a:1", "https://b:1"]);
        apply(&mut known, PeerChange::Put(Box::new(peer("a", PeerStatus::Dead, &["https://a:1"]))));
        apply(&mut known, PeerChange::Put(Box::new(peer("c", PeerStatus::Alive, &["https://c:1"]))));
        apply(&mut known, PeerChange::Deleted("b".to_owned()));
        assert_eq!(urls(&known), ["https://c:1"]);
        apply(&mut known, PeerChange::Listed(Vec::new()));
        assert!(known.is_empty(), "what was known before is forgotten");
    }
}
