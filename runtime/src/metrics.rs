//! The process's metrics registry.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::registry::Registry;

/// Shares one metrics registry among all pieces of the process. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    registry: Registry,
    families: HashMap<TypeId, Box<dyn Any + Send>>,
}

impl Metrics {
    /// Lets a piece add its metrics; called at start-up, never per request.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.lock().registry)
    }

    /// The families that several pieces of one kind share, told apart by a label: made by the first
    /// that asks and the same for all. A name may stand in the registry only once.
    pub fn shared<T: Clone + Send + 'static>(&self, make: impl FnOnce(&mut Registry) -> T) -> T {
        let mut inner = self.lock();
        let Inner { registry, families } = &mut *inner;
        let made = families.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(make(registry)));
        #[allow(clippy::expect_used, reason = "the key is the type")]
        made.downcast_ref::<T>().expect("the type that it is kept under").clone()
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _infallible = prometheus_client::encoding::text::encode(&mut out, &self.lock().registry);
        out
    }

    /// The content type of [`render`](Self::render).
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
