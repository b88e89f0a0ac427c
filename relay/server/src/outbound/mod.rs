//! A group of peers that serve the same, and how one of them is called.

mod call;
mod dns;
mod fleet;
mod mesh;
mod owners;
mod peer;
mod probe;
mod source;
mod stats;
mod times;
mod tried;
mod tries;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use http::HeaderName;
use http::request::Parts;
use meshkit_client::MeshClient;
use omnirelay_runtime::{Drain, Result};
use relay_balance::{Budget, Dice, Ejection, Moment, OutlierRules, Strategy, Tuning, hash};
use relay_config::{KeyConfig, OutboundConfig, StrategyName};
use relay_core::introspect;
use relay_core::{RpcMeta, headers};
use relay_enforcement::Checkpoint;
use relay_policy::Protocols;
use tokio::sync::watch;

pub(crate) use call::Outward;
use dns::Dns;
use fleet::Fleet;
use mesh::Mesh;
use owners::Owners;
use peer::Peer;
use source::{RouteSource, Snapshot, Static};
pub(crate) use stats::OutboundMetrics;
use stats::Stats;
pub(crate) use tries::Tries;

/// How long latencies are remembered at least; at most twice that.
const REMEMBERED: Duration = Duration::from_secs(30);

/// Peers that serve the same.
pub(crate) struct Outbound {
    name: String,
    config: OutboundConfig,
    timeout: Duration,
    /// The header that calls are placed by, where they are.
    key: Option<HeaderName>,
    /// Where its peers and their shards are told.
    mesh: Option<MeshClient>,
    owners: Option<Arc<Owners>>,
    fleet: Fleet,
    budget: Arc<Budget>,
    max_pending: u32,
    max_retries: u32,
    retrying: Arc<AtomicU32>,
    /// Whether the source of the peers has answered.
    told: watch::Sender<bool>,
    /// Failures in a row from which a peer may be ejected.
    eject_after: u32,
    stats: Arc<Stats>,
    dice: Dice,
    started: Instant,
    sets: Vec<Protocols>,
    checkpoint: Arc<Checkpoint>,
}

impl Outbound {
    /// An outbound of a relay that stands in `zone`, with the peers that are known beforehand. Where it
    /// takes the place of another one, it goes on with what that counted, and with its connections as far as
    /// they fit; that one goes on meanwhile for the calls that it has.
    ///
    /// # Errors
    /// TLS files that cannot be used.
    pub(crate) fn new(
        config: &OutboundConfig,
        zone: &str,
        mesh: Option<&MeshClient>,
        checkpoint: Arc<Checkpoint>,
        before: Option<&Self>,
    ) -> Result<Self> {
        let (balance, outliers) = (&config.balance, &config.outliers);
        let tuning = Tuning {
            strategy: match balance.strategy {
                StrategyName::RoundRobin => Strategy::RoundRobin,
                StrategyName::FewestPending => Strategy::FewestPending,
                StrategyName::TwoChoices => Strategy::TwoChoices,
                StrategyName::Ring => Strategy::Ring,
                StrategyName::Sticky => Strategy::Sticky,
            },
            slow_start: Duration::from_millis(balance.slow_start_ms),
            zone_aware: balance.zone_aware,
            max_pending: config.breaker.max_pending,
        };
        let rules = OutlierRules {
            consecutive_failures: outliers.consecutive_failures,
            deviation_percent: outliers.deviation_percent,
            min_calls: outliers.min_calls,
            min_peers: usize::try_from(outliers.min_peers).unwrap_or(usize::MAX),
            base: Duration::from_millis(outliers.base_ms),
            max: Duration::from_millis(outliers.max_ms),
            max_ejected_percent: outliers.max_ejected_percent,
        };
        let key = match (balance.strategy, &balance.key) {
            (StrategyName::RoundRobin | StrategyName::FewestPending | StrategyName::TwoChoices, _) => None,
            (_, KeyConfig::ShardKey) => Some(headers::RPC_SHARD_KEY),
            (_, KeyConfig::Caller) => Some(headers::RPC_CALLER),
            (_, KeyConfig::Header(name)) => HeaderName::try_from(name.as_str()).ok(),
        };
        let namespace = config.mesh.as_ref().and_then(|mesh| mesh.namespace.as_deref());
        let owners = namespace.zip(mesh).map(|(namespace, mesh)| {
            let known = before.and_then(|before| before.owners.as_ref());
            let known = known.filter(|known| known.is_of(namespace));
            known.map_or_else(|| Owners::follow(mesh, namespace), Arc::clone)
        });
        let kept = before.filter(|before| before.config.shares_connections(config));
        let is_told = config.dns.is_some() || config.mesh.is_some();
        let same_source = before
            .filter(|before| is_told && before.config.dns == config.dns && before.config.mesh == config.mesh);
        let same_budget = before.filter(|before| before.config.retry_budget == config.retry_budget);
        let budget =
            || Arc::new(Budget::new(config.retry_budget.percent, config.retry_budget.floor_per_second));
        let outbound = Self {
            name: config.name.clone(),
            config: config.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            key,
            mesh: mesh.cloned(),
            owners,
            fleet: match kept {
                Some(before) => Fleet::after(&before.fleet, tuning, rules),
                None => Fleet::new(tuning, rules, zone),
            },
            budget: same_budget.map_or_else(budget, |before| Arc::clone(&before.budget)),
            max_pending: config.breaker.max_pending,
            max_retries: config.breaker.max_retries,
            retrying: before.map(|before| Arc::clone(&before.retrying)).unwrap_or_default(),
            eject_after: outliers.consecutive_failures.max(1),
            told: watch::Sender::new(!is_told || same_source.is_some_and(|before| *before.told.borrow())),
            stats: before.map(|before| Arc::clone(&before.stats)).unwrap_or_default(),
            dice: Dice::new(seed()),
            // What is known of peers counts from there.
            started: before.map_or_else(Instant::now, |before| before.started),
            sets: checkpoint.protocol_sets(),
            checkpoint,
        };
        let known =
            same_source.map(|before| before.fleet.peers().all.iter().map(|peer| peer.spec.clone()).collect());
        outbound.adopt(&known.unwrap_or_else(|| outbound.source().first()))?;
        Ok(outbound)
    }

    /// Whether it is what this configuration asks for.
    pub(crate) fn is(&self, config: &OutboundConfig) -> bool {
        self.config == *config
    }

    /// Lets its connections go that `after` does not go on with, once the calls on them have ended.
    pub(crate) fn retire(&self, after: Option<&Self>, drain: &Drain) {
        let kept = after.map(|after| after.fleet.peers().all.clone()).unwrap_or_default();
        let all = self.fleet.peers().all.clone();
        let gone = all.iter().filter(|peer| !kept.iter().any(|kept| Arc::ptr_eq(kept, peer)));
        for peer in gone.cloned() {
            omnirelay_runtime::spawn("peer-farewell", farewell(peer, drain.clone()));
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Follows the source of the peers, probes them and lets ejected ones back, until the drain.
    pub(crate) fn watch(self: &Arc<Self>, drain: &Drain) {
        if self.config.health.is_none() {
            self.fleet.forget_probes(self.now());
        }
        for peer in &self.fleet.peers().all {
            self.probe(peer, drain);
        }
        let keeping = keep(Arc::downgrade(self), drain.clone());
        omnirelay_runtime::spawn("outbound-keeper", keeping);
        if self.config.dns.is_none() && self.config.mesh.is_none() {
            return;
        }
        let source = self.source();
        let known = self.fleet.peers().all.iter().map(|peer| peer.spec.clone()).collect();
        let (sender, receiver) = watch::channel(known);
        omnirelay_runtime::spawn("outbound-source", source.follow(sender, drain.clone()));
        omnirelay_runtime::spawn("outbound-peers", follow(Arc::downgrade(self), receiver, drain.clone()));
    }

    fn source(&self) -> Box<dyn RouteSource> {
        match (&self.config.dns, &self.config.mesh, &self.mesh) {
            (Some(dns), _, _) => Box::new(Dns::new(dns)),
            (None, Some(config), Some(mesh)) => Box::new(Mesh::new(mesh.clone(), &config.service)),
            (None, ..) => Box::new(Static::new(&self.config.peers)),
        }
    }

    /// Takes a snapshot of the peers over; gives the new ones.
    fn adopt(&self, snapshot: &Snapshot) -> Result<Vec<Arc<Peer>>> {
        let now = self.now();
        self.fleet.set(snapshot, |spec| Peer::new(spec, &self.config, &self.sets, now))
    }

    fn probe(self: &Arc<Self>, peer: &Arc<Peer>, drain: &Drain) {
        if let Some(health) = &self.config.health {
            let probing =
                probe::follow(Arc::downgrade(self), Arc::downgrade(peer), health.clone(), drain.clone());
            omnirelay_runtime::spawn("probe", probing);
        }
    }

    /// The hash of what a call is placed by: of the shard key as the mesh hashes it where calls go to owners.
    pub(crate) fn key(&self, meta: &RpcMeta<'_>, head: &Parts) -> Option<u64> {
        if self.owners.is_some() {
            return meta.shard_key.map(|key| meshkit_client::hash(key.as_bytes()));
        }
        let name = self.key.as_ref()?;
        let text = match (name == headers::RPC_SHARD_KEY, name == headers::RPC_CALLER) {
            (true, _) => meta.shard_key?.as_bytes(),
            (_, true) => meta.caller?.as_bytes(),
            _ => head.headers.get(name)?.as_bytes(),
        };
        Some(hash(text))
    }

    fn now(&self) -> Moment {
        Moment::of(self.started, Instant::now())
    }

    fn tell_ejection(&self, peer: &str, ejection: Ejection) {
        self.stats.ejected(ejection.reason);
        let seconds = ejection.until.since(self.now()).as_secs_f64();
        let reason = ejection.reason.name();
        tracing::warn!(
            outbound = self.name,
            peer,
            reason,
            seconds,
            "the peer fails its calls and is left out"
        );
    }

    pub(crate) fn introspect(&self) -> introspect::Outbound {
        let peers = self.fleet.states().into_iter();
        introspect::Outbound {
            name: self.name.clone(),
            protocols: self.config.protocols.clone(),
            chooser: self.config.balance.strategy.name().to_owned(),
            peers: peers.map(|(peer, state, ejections)| peer.introspect(state, ejections)).collect(),
            shards: self.owners.as_ref().map(|owners| owners.introspect()),
        }
    }

    /// Says goodbye to the peers.
    pub(crate) async fn close(&self) {
        let peers = self.fleet.peers().all.clone();
        for channel in peers.iter().flat_map(|peer| peer.channels.all()) {
            channel.close().await;
        }
    }
}

/// Lets ejected peers back, looks at success rates and forgets old latencies.
async fn keep(outbound: Weak<Outbound>, drain: Drain) {
    let mut judged = Instant::now();
    let mut forgotten = Instant::now();
    loop {
        let Some(outbound) = outbound.upgrade() else { return };
        let interval = Duration::from_millis(outbound.config.outliers.interval_ms);
        let back = outbound.fleet.let_back(outbound.now());
        if judged.elapsed() >= interval {
            judged = Instant::now();
            for ejection in outbound.fleet.judge(outbound.now()) {
                let peers = outbound.fleet.peers();
                let peer = peers.all.iter().find(|peer| peer.id == ejection.id);
                outbound.tell_ejection(peer.map_or("", |peer| peer.url()), ejection);
            }
        }
        if forgotten.elapsed() >= REMEMBERED {
            forgotten = Instant::now();
            outbound.fleet.peers().all.iter().for_each(|peer| peer.latency.turn());
        }
        let next = interval.min(REMEMBERED).saturating_sub(judged.elapsed());
        let next =
            back.map_or(next, |back| next.min(back.since(outbound.now()))).max(Duration::from_millis(1));
        let ejected = Arc::clone(&outbound.fleet.ejected);
        let weak = Arc::downgrade(&outbound);
        drop(outbound);
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = ejected.notified() => {}
            () = replaced(&weak) => return,
            () = drain.started() => return,
        }
    }
}

/// How often is looked whether a peer's last call has ended.
const FAREWELL: Duration = Duration::from_millis(200);

/// Says goodbye to a peer once no call is on its way to it.
async fn farewell(peer: Arc<Peer>, drain: Drain) {
    while peer.load.pending() > 0 {
        tokio::select! {
            () = tokio::time::sleep(FAREWELL) => {}
            () = drain.started() => return,
        }
    }
    for channel in peer.channels.all() {
        channel.close().await;
    }
}

/// Until another outbound has taken the place of one, and its calls have ended.
async fn replaced(outbound: &Weak<Outbound>) {
    let Some(mut told) = outbound.upgrade().map(|outbound| outbound.told.subscribe()) else { return };
    while told.changed().await.is_ok() {}
}

/// Takes over what a source publishes.
async fn follow(outbound: Weak<Outbound>, mut snapshots: watch::Receiver<Snapshot>, drain: Drain) {
    loop {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = replaced(&outbound) => return,
            () = drain.started() => return,
        }
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let Some(outbound) = outbound.upgrade() else { return };
        match outbound.adopt(&snapshot) {
            Ok(new) if new.is_empty() => {}
            Ok(new) => {
                tracing::info!(
                    outbound = outbound.name(),
                    peers = snapshot.len(),
                    new = new.len(),
                    "peers changed"
                );
                new.iter().for_each(|peer| outbound.probe(peer, &drain));
            }
            Err(error) => {
                tracing::warn!(outbound = outbound.name(), cause = %error, "a peer cannot be called");
            }
        }
        outbound.told.send_replace(true);
    }
}

/// Differs between relays, so that they do not all draw the same peers.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one(std::process::id()))
}
