//! How far a request and its answer are: shared by whoever reads the one, gives the other and sends it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What an answer that is being sent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The service has to say what comes next, or nothing comes.
    Service,
    /// The client has to take what was handed over.
    Client,
}

const NO_NEWS: u8 = 0;
const SERVICE: u8 = 1;
const CLIENT: u8 = 2;

/// One request and its answer.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    answered: AtomicBool,
    malformed: AtomicBool,
    waits_for: AtomicU8,
}

impl Exchange {
    /// The service has begun to answer.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The rest of the request has turned out to be malformed.
    pub(crate) fn malformed(&self) {
        self.malformed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed.load(Ordering::Relaxed)
    }

    /// The answer's body knows what it waits for.
    pub(crate) fn wait_for(&self, whom: WaitsFor) {
        let news = match whom {
            WaitsFor::Service => SERVICE,
            WaitsFor::Client => CLIENT,
        };
        self.waits_for.store(news, Ordering::Relaxed);
    }

    /// What the answer's body has said of that since it was asked last; nothing where it was not polled.
    pub(crate) fn news(&self) -> Option<WaitsFor> {
        match self.waits_for.swap(NO_NEWS, Ordering::Relaxed) {
            SERVICE => Some(WaitsFor::Service),
            CLIENT => Some(WaitsFor::Client),
            _ => None,
        }
    }
}

/// Where an HTTP/2 connection leaves the exchange whose task is about to start: hyper hands a request to
/// the service, and then what is to be polled of it to the executor, which is told nothing of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Next(Arc<Mutex<Option<Arc<Exchange>>>>);

impl Next {
    /// Begins an exchange, the next one to start.
    pub(crate) fn begin(&self) -> Arc<Exchange> {
        let exchange = Arc::<Exchange>::default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&exchange));
        exchange
    }

    /// The exchange of an HTTP/1.1 connection that has ended last, where none is under way.
    pub(crate) fn idle(&self) -> Option<Weak<Exchange>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Some(Weak::new()),
            // Whoever carries one out holds it as well.
            Some(last) => (Arc::strong_count(last) == 1).then(|| Arc::downgrade(last)),
        }
    }

    /// The exchange that was begun last; it can be taken once.
    pub(crate) fn take(&self) -> Option<Arc<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
