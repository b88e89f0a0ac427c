//! A group of peers that serve the same, and how one of them is called.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response};
use omnirelay_runtime::Result;
use relay_client::ChannelError;
use relay_config::OutboundConfig;
use relay_core::choose::Chooser;
use relay_core::introspect;
use relay_core::{Code, Encoding, Negotiated, Protocol, RpcStyle, Status, format_grpc_timeout, headers};
use relay_enforcement::Checkpoint;
use relay_transport::{Body, body};

use crate::channels::{Channels, Going, Target};

/// Peers that serve the same.
pub(crate) struct Outbound {
    name: String,
    protocols: Vec<Protocol>,
    timeout: Duration,
    peers: Vec<Arc<Peer>>,
    draws: AtomicU64,
    checkpoint: Arc<Checkpoint>,
}

struct Peer {
    channels: Channels,
    pending: AtomicU64,
    calls: AtomicU64,
    failures: AtomicU64,
    /// The protocol of the last answer plus one; 0 before the first.
    protocol: AtomicU8,
}

/// Counts a call as pending for as long as it is held.
struct Pending(Arc<Peer>);

impl Pending {
    fn new(peer: &Arc<Peer>) -> Self {
        peer.pending.fetch_add(1, Relaxed);
        peer.calls.fetch_add(1, Relaxed);
        Self(Arc::clone(peer))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Relaxed);
    }
}

/// What an outbound has to know of a call beside its request.
#[derive(Clone, Copy)]
pub(crate) struct Outward<'a> {
    pub(crate) style: RpcStyle,
    pub(crate) encoding: Encoding,
    pub(crate) procedure: &'a str,
    /// How long the caller waits.
    pub(crate) timeout: Option<Duration>,
}

/// A request that can be sent more than once.
pub(crate) struct Replay {
    pub(crate) head: http::request::Parts,
    pub(crate) body: bytes::Bytes,
}

/// A request on its way out.
pub(crate) enum Outgoing {
    /// It is whole and small, so that another peer can be tried.
    Replayable(Replay),
    /// It streams, so that there is one try.
    Once(Request<Body>),
}

impl Outbound {
    pub(crate) fn new(config: &OutboundConfig, checkpoint: Arc<Checkpoint>) -> Result<Self> {
        let sets = checkpoint.protocol_sets();
        let peers = config.peers.iter().map(|url| {
            let target = Target {
                url,
                tls: &config.tls,
                protocols: &config.protocols,
                connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            };
            Ok(Arc::new(Peer {
                channels: Channels::new(&target, &sets)?,
                pending: AtomicU64::new(0),
                calls: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                protocol: AtomicU8::new(0),
            }))
        });
        Ok(Self {
            name: config.name.clone(),
            protocols: config.protocols.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            peers: peers.collect::<Result<_>>()?,
            draws: AtomicU64::new(seed()),
            checkpoint,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Calls a peer and, where nothing was sent, another one, until the deadline.
    pub(crate) async fn call(&self, call: Outward<'_>, outgoing: Outgoing) -> Result<Response<Body>, Status> {
        let timeout = call.timeout.unwrap_or(self.timeout);
        let deadline = Instant::now() + timeout;
        let calling = self.call_peers(call, deadline, outgoing);
        tokio::time::timeout_at(deadline.into(), calling).await.unwrap_or_else(|_elapsed| {
            let late = format!("no answer from the outbound `{}` within {timeout:?}", self.name);
            Err(Status::new(Code::DeadlineExceeded, late).with_hint(
                "give the call more time, or look at the outbound's peers with `omnirelay introspect`",
            ))
        })
    }

    async fn call_peers(
        &self,
        call: Outward<'_>,
        deadline: Instant,
        outgoing: Outgoing,
    ) -> Result<Response<Body>, Status> {
        let Some(first) = self.pick() else {
            return Err(Status::unavailable(format!("the outbound `{}` has no peers", self.name)));
        };
        let Outward { style, encoding, procedure, .. } = call;
        let url = self.peers[first].channels.url();
        let going = Going::open(&self.checkpoint, style, encoding, procedure, url)?;
        match outgoing {
            Outgoing::Once(request) => self.call_peer(first, going, deadline, request).await,
            Outgoing::Replayable(replay) => {
                let mut outcome = self.call_peer(first, going, deadline, replay.request()).await;
                // Each other peer once, beginning after the first.
                for step in 1..self.peers.len() {
                    match &outcome {
                        Err(error) if error.is_unsent() => {}
                        _ => break,
                    }
                    let next = (first + step) % self.peers.len();
                    outcome = self.call_peer(next, going, deadline, replay.request()).await;
                }
                outcome
            }
        }
        .map_err(|error| Status::from(&error))
    }

    async fn call_peer(
        &self,
        index: usize,
        going: Going<'_>,
        deadline: Instant,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, ChannelError> {
        let peer = &self.peers[index];
        let pending = Pending::new(peer);
        let left = deadline.saturating_duration_since(Instant::now());
        write_deadline(going.style, left, request.headers_mut());
        match going.send(&peer.channels, request).await {
            Ok(response) => {
                if let Some(negotiated) = response.extensions().get::<Negotiated>() {
                    peer.protocol.store(negotiated.protocol as u8 + 1, Relaxed);
                }
                Ok(response.map(|body| body::holding(body, pending)))
            }
            Err(error) => {
                peer.failures.fetch_add(1, Relaxed);
                Err(error)
            }
        }
    }

    fn pick(&self) -> Option<usize> {
        let draw = self.draws.fetch_add(GOLDEN, Relaxed);
        Chooser::pick(self.peers.len(), mix(draw), |peer| self.peers[peer].pending.load(Relaxed))
    }

    pub(crate) fn introspect(&self) -> introspect::Outbound {
        let peers = self.peers.iter().map(|peer| introspect::OutboundPeer {
            url: peer.channels.url().to_owned(),
            protocol: Protocol::ALL.into_iter().find(|one| *one as u8 + 1 == peer.protocol.load(Relaxed)),
            pending: peer.pending.load(Relaxed),
            calls: peer.calls.load(Relaxed),
            failures: peer.failures.load(Relaxed),
        });
        introspect::Outbound {
            name: self.name.clone(),
            protocols: self.protocols.clone(),
            chooser: Chooser::NAME.to_owned(),
            peers: peers.collect(),
        }
    }

    /// Says goodbye to the peers.
    pub(crate) async fn close(&self) {
        for channel in self.peers.iter().flat_map(|peer| peer.channels.all()) {
            channel.close().await;
        }
    }
}

impl Replay {
    fn request(&self) -> Request<Body> {
        let mut request = Request::new(body::full(self.body.clone()));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        request
    }
}

/// Tells the next hop how long the caller still waits.
fn write_deadline(style: RpcStyle, left: Duration, headers: &mut http::HeaderMap) {
    let (name, text) = match style {
        RpcStyle::Grpc => (headers::GRPC_TIMEOUT, format_grpc_timeout(left)),
        RpcStyle::Yarpc | RpcStyle::Http => (headers::CONTEXT_TTL_MS, left.as_millis().max(1).to_string()),
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64`'s output function (Steele, Lea, Flood 2014): spreads a counter over 64 bits.
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Differs between relays, so that they do not all draw the same peers.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one(std::process::id()))
}
