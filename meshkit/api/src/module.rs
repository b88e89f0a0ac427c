//! What a module is given and what it gives back.

use std::sync::{Arc, Mutex, PoisonError};

use meshkit_leadership::Leadership;
use meshkit_store::View;
use omnirelay_runtime::{Drain, Metrics};
use relay_transport::auth::Authenticator;

use crate::gate::Gate;
use crate::openapi::Operation;

/// What every module is given at start-up.
#[derive(Clone)]
pub struct Context {
    /// The records.
    pub view: View,
    /// What this node leads.
    pub leadership: Leadership,
    /// Who may call what stands in no module's table.
    pub auth: Arc<Authenticator>,
    /// The way into every module.
    pub gate: Gate,
    /// Where its metrics go.
    pub metrics: Metrics,
    /// Tells its tasks to end.
    pub drain: Drain,
}

/// A started module.
#[derive(Debug)]
pub struct Module {
    /// Its name, as in `modules` of the configuration.
    pub name: &'static str,
    /// Its REST and gRPC routes.
    pub routes: axum::Router,
    /// What its REST routes take and give.
    pub operations: Vec<Operation>,
    /// Whether it can do its work.
    pub readiness: Readiness,
}

/// Whether something can do its work, and if not why. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Readiness {
    /// Ready from the start.
    #[must_use]
    pub fn ready() -> Self {
        Self(Arc::default())
    }

    /// Not ready yet.
    #[must_use]
    pub fn not_yet(reason: &str) -> Self {
        Self(Arc::new(Mutex::new(Some(reason.to_owned()))))
    }

    /// Says that it is ready (`None`) or why it is not.
    pub fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Why it is not ready; `None` where it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
