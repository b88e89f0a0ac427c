//! Who is there, for the rest of the process.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshkit_model::{PeerId, Timestamp};
use omnirelay_runtime::{Drain, ErrorKind, Metrics, OperatorError, Result};
use relay_transport::datagram::{Datagrams, Received};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::agent::{self, Agent};
use crate::known::{Known, Standing};
use crate::member::{Health, Member};
use crate::metrics::MembershipMetrics;
use crate::tuning::Tuning;

/// Who a node is in the gossip, and whom it asks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node's name, unique in the mesh; the last segment of the SPIFFE id in its certificate.
    pub id: PeerId,
    /// What it is, such as `control-plane`.
    pub role: String,
    /// Its cluster.
    pub cluster: String,
    /// Its zone.
    pub zone: String,
    /// Its software version.
    pub version: String,
    /// Where others reach it; where it listens by default.
    pub advertise: Option<SocketAddr>,
    /// `host:port` of some that are there already; all addresses of a name are asked.
    pub seeds: Vec<String>,
    /// How quickly things are noticed.
    pub tuning: Tuning,
}

/// A member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it says about itself.
    pub member: Arc<Member>,
    /// How it stands.
    pub standing: Standing,
    /// How often it refuted that it is gone.
    pub incarnation: u16,
    /// Since when it stands so, by this node's clock.
    pub since: Timestamp,
}

/// What this node says about itself, asked for now and then: how it fares, and the store revision that its
/// view stands at.
pub type Report = Box<dyn Fn() -> (Health, u64) + Send>;

/// Who is there, as this node sees it. Cloning shares it.
#[derive(Clone)]
pub struct Membership(Arc<Inner>);

struct Inner {
    me: PeerId,
    seen: Mutex<Arc<Vec<Seen>>>,
    changes: watch::Sender<u64>,
    metrics: MembershipMetrics,
}

impl Membership {
    /// Gossips until the drain begins, and says goodbye then.
    ///
    /// # Errors
    /// What it would say about itself breaks the bounds of [`Member::validate`].
    pub fn start(
        datagrams: Datagrams,
        inbox: mpsc::Receiver<Received>,
        settings: Settings,
        report: Report,
        metrics: &Metrics,
        drain: &Drain,
    ) -> Result<Self> {
        let (health, map_version) = report();
        let me = Member {
            id: settings.id,
            // A later process of this name counts before an earlier one.
            generation: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
            edition: 0,
            address: settings.advertise.unwrap_or_else(|| datagrams.local_addr()),
            role: settings.role,
            cluster: settings.cluster,
            zone: settings.zone,
            version: settings.version,
            said: 0,
            health,
            map_version,
        };
        me.validate().map_err(|invalid| {
            let problem = format!("this node's `{}` {}", invalid.field, invalid.problem);
            OperatorError::new(ErrorKind::Config, problem)
                .hint("shorten names, or say in `advertise` where others reach it")
        })?;
        let inner = Inner {
            me: me.id.clone(),
            seen: Mutex::default(),
            changes: watch::Sender::new(0),
            metrics: MembershipMetrics::new(metrics),
        };
        let this = Self(Arc::new(inner));
        let agent = Agent::new(me, settings.tuning, datagrams.clone(), report, this.clone());
        this.show(agent.me(), Vec::new());
        let (found, places) = mpsc::channel(agent::PLACES);
        agent::seek(settings.seeds, datagrams, this.clone(), found, drain.clone());
        agent.run(inbox, places, drain.clone());
        Ok(this)
    }

    /// This node's own name.
    #[must_use]
    pub fn me(&self) -> &PeerId {
        &self.0.me
    }

    /// Everybody, this node included, in the order of their names.
    #[must_use]
    pub fn members(&self) -> Arc<Vec<Seen>> {
        Arc::clone(&self.seen())
    }

    /// How often something has changed for this node, and to wait for that.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// How many others are there.
    pub(crate) fn present(&self) -> usize {
        let seen = self.seen();
        seen.iter().filter(|seen| seen.standing.is_present() && seen.member.id != self.0.me).count()
    }

    pub(crate) fn metrics(&self) -> &MembershipMetrics {
        &self.0.metrics
    }

    /// Shows what is known from now on, and tells where that is different.
    pub(crate) fn show(&self, me: Arc<Member>, known: Vec<Known>) {
        let now = at();
        let mut shown = self.seen();
        let before: BTreeMap<&PeerId, &Seen> = shown.iter().map(|seen| (&seen.member.id, seen)).collect();
        let own = Known { member: me, incarnation: 0, standing: Standing::Alive };
        let mut members: Vec<Seen> = known
            .into_iter()
            .chain(std::iter::once(own))
            .map(|known| {
                let before = before.get(&known.member.id);
                let same = before.filter(|seen| {
                    seen.standing == known.standing && seen.member.generation == known.member.generation
                });
                if same.is_none() && known.member.id != self.0.me {
                    tell(&known);
                }
                let since = same.map_or(now, |seen| seen.since);
                Seen { member: known.member, standing: known.standing, incarnation: known.incarnation, since }
            })
            .collect();
        members.sort_unstable_by(|a, b| a.member.id.cmp(&b.member.id));
        if members != **shown {
            self.0.metrics.show(&members);
            *shown = Arc::new(members);
            self.0.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Arc<Vec<Seen>>> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(known: &Known) {
    let (member, address) = (&known.member.id, known.member.address);
    match known.standing {
        Standing::Alive => info!(%member, %address, "member is there"),
        Standing::Suspect => info!(%member, %address, "member does not answer"),
        Standing::Left => info!(%member, %address, "member left"),
        Standing::Dead => warn!(%member, %address, "member is dead"),
    }
}

/// The time that people read, as precise as it is shown.
fn at() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("me", &self.0.me).finish_non_exhaustive()
    }
}
