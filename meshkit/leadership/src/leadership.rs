//! The scopes that a node leads or would lead.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use meshkit_model::{Kind, LeaderScope, PeerId};
use meshkit_store::{Holds, View, Write};
use omnirelay_runtime::{Drain, Metrics};
use tokio::sync::broadcast;

use crate::candidate::Event;
use crate::metrics::LeadershipMetrics;
use crate::seat::Seat;
use crate::timing::Timing;

/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 1_024;

/// What a node would lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node's name, unique in the mesh.
    pub node: PeerId,
    /// How long a lease lasts after each renewal.
    pub lease: Duration,
    /// The scopes.
    pub scopes: Vec<LeaderScope>,
}

/// Something that happened to a scope, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The scope.
    pub scope: LeaderScope,
    /// What happened.
    pub event: Event,
}

/// The scopes that this node leads or would lead. Cloning shares it.
#[derive(Clone)]
pub struct Leadership(Arc<Inner>);

struct Inner {
    seats: BTreeMap<LeaderScope, Arc<Seat>>,
    told: broadcast::Sender<Told>,
}

/// A leadership that holds now. Time ends it, so it is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    scope: LeaderScope,
    fence: u64,
}

impl Lead {
    /// What is led.
    #[must_use]
    pub const fn scope(&self) -> &LeaderScope {
        &self.scope
    }

    /// Under which fence.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.fence
    }

    /// Makes a mutation depend on this leadership: once somebody else leads, the store refuses it.
    #[must_use]
    pub fn guard(&self) -> Write {
        Write::guard(Kind::Lease, self.scope.to_string(), Holds::Fence(self.fence))
    }
}

impl Leadership {
    /// Campaigns for all scopes until the drain begins, and gives up then what it leads.
    #[must_use]
    pub fn start(view: &View, settings: Settings, metrics: &Metrics, drain: &Drain) -> Self {
        let (told, _) = broadcast::channel(EVENTS);
        let metrics = LeadershipMetrics::new(metrics);
        let session = session();
        let timing = Timing { lease: settings.lease, is_alone: !view.is_shared() };
        let mut seats = BTreeMap::new();
        for scope in settings.scopes {
            let seat = Seat::new(&scope, &settings.node, &session, timing, metrics.clone(), told.clone());
            let seat = Arc::new(seat);
            Arc::clone(&seat).keep(view.clone(), drain.clone());
            seats.insert(scope, seat);
        }
        Self(Arc::new(Inner { seats, told }))
    }

    /// The leadership of a scope where this node has it now.
    #[must_use]
    pub fn lead(&self, scope: &LeaderScope) -> Option<Lead> {
        let fence = self.0.seats.get(scope)?.leads()?;
        Some(Lead { scope: scope.clone(), fence })
    }

    /// Whether the time of whoever holds a scope in the store has passed, as far as this node saw.
    #[must_use]
    pub fn is_expired(&self, scope: &LeaderScope) -> bool {
        self.0.seats.get(scope).is_some_and(|seat| seat.is_expired())
    }

    /// Tells of what happens from now on, as this node sees it.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Told> {
        self.0.told.subscribe()
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("scopes", &self.0.seats.keys()).finish_non_exhaustive()
    }
}

/// Tells this process from all others of its name.
fn session() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
