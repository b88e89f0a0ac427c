//! Where the peers of an outbound come from.

use std::pin::Pin;
use std::sync::Arc;

use omnirelay_runtime::Drain;
use relay_config::PeerConfig;
use tokio::sync::watch;

/// A peer as a source knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerSpec {
    /// `https://host:port`.
    pub(crate) url: String,
    /// The name in its certificate, where it is not the URL's host.
    pub(crate) server_name: Option<String>,
    /// Its share of the calls beside others', 1 to 100.
    pub(crate) weight: u32,
    /// Where it stands; empty for nowhere.
    pub(crate) zone: String,
    /// What the mesh calls it, where it is known from there.
    pub(crate) id: Option<Arc<str>>,
}

/// All peers of an outbound at one time.
pub(crate) type Snapshot = Arc<[PeerSpec]>;

pub(crate) type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells who the peers of an outbound are, as a whole each time: a file, a name server, the mesh.
pub(crate) trait RouteSource: Send {
    /// Who they are at the start, as far as that is known without asking anybody.
    fn first(&self) -> Snapshot;

    /// Publishes every change until the drain begins. What cannot be found out changes nothing: the
    /// last known peers are better than none.
    fn follow(self: Box<Self>, snapshots: watch::Sender<Snapshot>, drain: Drain) -> Following;
}

/// Peers that the configuration names.
pub(super) struct Static(pub(super) Snapshot);

impl Static {
    pub(super) fn new(peers: &[PeerConfig]) -> Self {
        let spec = |peer: &PeerConfig| PeerSpec {
            url: peer.url.clone(),
            server_name: None,
            weight: peer.weight,
            zone: peer.zone.clone(),
            id: None,
        };
        Self(peers.iter().map(spec).collect())
    }
}

impl RouteSource for Static {
    fn first(&self) -> Snapshot {
        Arc::clone(&self.0)
    }

    fn follow(self: Box<Self>, _snapshots: watch::Sender<Snapshot>, _drain: Drain) -> Following {
        Box::pin(std::future::ready(()))
    }
}
